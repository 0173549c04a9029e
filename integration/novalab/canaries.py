"""Whether a secret of the lab is anywhere but where it belongs. Only where the shape says `"canaries": True`.

    with Canaries(lab) as canaries: ...; assert not canaries.found()

From beginning to end the command line and the environment of every process are read (canary_watch.py), and what each program
said that was run in a machine. `found` reads those, and what there is by then: logs, run and state folders, core files, each
key of Consul but the secret's own, and what Consul shows of the checks. The lab's own tools, outside the machines, do not count.
"""

import base64
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from novalab import paths, wait
from novalab.canary_watch import Words
from novalab.product import TOKENS

ROOT = "ha_cluster"
# What a scenario leaves lying about, to see that it is found.
PLANTED = "the planted one"
# Where a machine keeps the secrets that it is given: below its disk. Consul keeps an agent's own token in its data, and the one
# with which it registers itself in its configuration.
GIVEN = re.compile(r"etc/nova-ha/(tokens/\w[\w-]*|(bmc|ssh)_password-\w+|login_key|fence-\w+\.json)|etc/openstack/clouds\.yaml|"
                   r"etc/consul\.d/agent\.json|var/lib/consul/acl-tokens\.json")
# A terminal obeys these, or hides by them what stands there: C0 but line ends, C1, and what turns the direction of writing.
OBEYED = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
CORE = re.compile(r"core(\.\d+)?")


@dataclass
class Secret:
    """One secret: its word, and a pattern of the keys below ROOT that are its own."""

    word: str
    keys: str = r"(?!)"


@dataclass(frozen=True)
class Leak:
    """A secret where it does not belong."""

    name: str
    place: str

    def __str__(self):
        return f"{self.name} is in {self.place}"


def secrets_of(lab):
    """`{name: Secret}` of a lab: whatever is a password, a private key or a token in it."""
    found = {PLANTED: Secret(lab.words.word("nothing", ""))}
    for machine in lab.machines.values():
        place = rf"\w+_nodes/{machine.name}/config"
        found[f"the BMC password of {machine.name}"] = Secret(machine.bmc_password, rf"{place}/(bmc/password|fence)")
        found[f"the login password of {machine.name}"] = Secret(machine.ssh_password, rf"{place}/ssh/password")
    # One line of it: a key is never shown in part.
    lines = Path(lab.login_key).read_text(encoding="utf-8").splitlines()
    found["the private key of the login"] = Secret(lines[-3], r"\w+_nodes/[^/]+/config/ssh/private_key")
    found["the password of the cloud's administrator"] = Secret(lab.cloud_password())
    if lab.shape.acl:
        found["the bootstrap token"] = Secret(lab.consul.acl.bootstrap)
        found["the token of the lab's agents"] = Secret(lab.consul.acl.agent)
        found.update({f"the token {policy}": Secret(lab.token(policy)) for policy in lab.policies()})
    return found


class Canaries:
    """The secrets of a lab, and where each was seen."""

    def __init__(self, lab):
        assert lab.shape.canaries, "the secrets of this lab are no words of their own"
        self.lab = lab
        self.secrets = secrets_of(lab)
        self.words = Words({name: secret.word for name, secret in self.secrets.items()})
        self.planted = self.secrets[PLANTED].word
        self.heard = []
        self.prefix = f"nvlab-{lab.run_name}-"
        self.programs = {}
        self.watcher = None

    # While it goes on

    def __enter__(self):
        self.watching = open(self.lab.state / "canaries.jsonl", "wb+")
        self.watcher = subprocess.Popen(
            [paths.PYTHON, "-I", "-S", str(paths.HERE / "canary_watch.py"), self.prefix],
            stdin=subprocess.PIPE, stdout=self.watching, env={"PATH": "/usr/bin:/bin"})
        words = {name: secret.word for name, secret in self.secrets.items()}
        self.watcher.stdin.write(json.dumps(words).encode() + b"\n")
        self.watcher.stdin.flush()
        wait.until("the watcher watches", lambda: any("watching" in line for line in self._told()), 20)
        for machine in self.lab.machines.values():
            machine.heard = self.heard
        return self

    def __exit__(self, *_):
        if self.watcher.poll() is None:
            self.watcher.stdin.close()
            try:
                self.watcher.wait(30)
            except subprocess.TimeoutExpired:
                self.watcher.kill()
                self.watcher.wait()
        for machine in self.lab.machines.values():
            machine.heard = None

    def _told(self):
        text = (self.lab.state / "canaries.jsonl").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def of_processes(self):
        """Leaks by a process of a machine so far."""
        found = []
        for told in self._told():
            self.programs = told.get("programs", self.programs)
            machine = (told.get("space") or "").removeprefix(self.prefix)
            if machine in self.lab.machines:
                what = {"cmdline": "the arguments", "environ": "the environment"}[told["in"]]
                found.append(Leak(told["word"], f"{what} of a process of {machine}: {told['of'].strip()}"))
        return found

    def ran(self):
        """The programs that were read on machines when they began; after its end only."""
        self.of_processes()
        return {program for space, seen in self.programs.items() for program in seen
                if space.removeprefix(self.prefix) in self.lab.machines}

    # At the end

    def found(self):
        """Every leak, of processes and in whatever is there now."""
        return [*self.of_processes(), *self.in_answers(), *self.in_consul(), *self.in_files()]

    def within(self, text, place):
        """Leaks in a text or in bytes."""
        data = text.encode("utf-8", "replace") if isinstance(text, str) else text
        return [Leak(name, place) for name in self.words.within(data)]

    def in_answers(self):
        """Leaks in what programs said on a terminal."""
        return [leak for done in self.heard for leak in self.within(done.out + done.err, f"what {done.argv[0]} said: {done.argv[1:]}")]

    def obeyed(self):
        """What the product said that a terminal would obey, or by which something hides."""
        said = [done for done in self.heard if str(done.argv[0]).startswith("nova-ha")]
        return [f"{done.argv}: {found.group()!r} in {(done.out + done.err)[max(0, found.start() - 60):found.end() + 20]!r}"
                for done in said for found in [OBEYED.search(done.out + done.err)] if found]

    def in_consul(self):
        """Leaks in keys and values of Consul, each secret's own keys left out, and in the outputs of all checks."""
        found = []
        for entry in self.lab.consul.ask("/v1/kv/?recurse"):
            key = entry["Key"]
            value = base64.b64decode(entry["Value"] or "")
            found += [leak for leak in self.within(key.encode() + b"\0" + value, f"the key {key}") if not self.is_own(leak.name, key)]
        for check in self.lab.consul.ask("/v1/health/state/any"):
            found += self.within(json.dumps(check), f"the check {check['CheckID']} of {check['Node']}")
        return found

    def is_own(self, name, key):
        """Whether a key is where this secret belongs."""
        return re.fullmatch(f"{ROOT}/(?:{self.secrets[name].keys})", key) is not None

    def in_files(self):
        """Leaks in logs, in run and state folders and in core files, of machines and of what runs beside them."""
        found = []
        for machine in self.lab.machines.values():
            found += self.below(f"/run of {machine.name}", machine.path("/run"))
            found += self.below(f"the disk of {machine.name}", machine.folder / "disk", GIVEN)
            found += self.below(f"the logs of {machine.name}", machine.folder / "log")
        found += self.below("the logs of the services", self.lab.state / "log")
        found += self.below("the cloud's log", self.lab.state / "cloud", re.compile(r"seed\.json"))
        found += [leak for core in self.cores() for leak in self.within(core.read_bytes(), str(core))]
        return found

    def below(self, name, folder, but=re.compile("(?!)")):
        """Leaks in the names and contents of all files below a folder, those that match `but` left out."""
        found = []
        for file in files(folder):
            path = str(file.relative_to(folder))
            if but.fullmatch(path):
                continue
            place = f"{name}: {path}"
            found += self.within(os.fsencode(path), place)
            try:
                found += self.within(file.read_bytes(), place)
            except OSError as error:
                # A socket, or gone by now.
                if not (file.is_socket() or not file.exists()):
                    raise AssertionError(f"{place} cannot be read: {error}") from error
        return found

    def cores(self):
        """Core files that the machines' processes can have left: in their working folder, which is mostly /."""
        own = [file for machine in self.lab.machines.values() for top in (machine.path("/run"), machine.folder / "disk") for file in files(top)]
        # The root is every machine's, and this one's too.
        since = (self.lab.state / "lab.json").stat().st_mtime
        return [file for file in own if is_core(file)] + \
            [file for file in Path("/").iterdir() if is_core(file) and file.stat().st_mtime >= since]

    # That it would find one

    def plant(self, machine):
        """Leaves the planted word in each place that is looked at; returns words of the places, one of each."""
        machine.exec("sleep", "0.2", env={"PLANTED": self.planted})
        machine.exec("sh", "-c", f": {self.planted}; sleep 0.2")
        machine.exec("echo", f"x{base64.b64encode(self.planted.encode()).decode()}")
        machine.install_file("/run/planted/words", f"password={self.planted}\n", 0o600)
        machine.install_file("/var/log/nova-ha/planted.log", f"said {self.planted}\n")
        self.lab.consul.put(f"{ROOT}/compute_nodes/planted/config/bmc/password", self.planted)
        core = machine.path("/var/tmp/core")
        core.write_bytes(b"\x7fELF" + b"\0" * 4096 + self.planted.encode())
        return ("the environment of", "the arguments of", "what echo said", "/run of", "nova-ha/planted.log", "the key", "var/tmp/core")

    def take_away(self, machine):
        """Takes the planted ones away and forgets them; what processes had and said stays, and is told apart by its name."""
        for path in ("/run/planted/words", "/var/log/nova-ha/planted.log", "/var/tmp/core"):
            machine.path(path).unlink()
        self.lab.consul.delete(f"{ROOT}/compute_nodes/planted/")


def decoded(value):
    """A value as Consul's API gives it, as text."""
    return base64.b64decode(value or "").decode("utf-8", "replace")


def files(folder):
    """The files of a folder's own filesystem, no link followed; one that went meanwhile is gone."""
    if not os.path.isdir(folder):
        return
    device = os.stat(folder).st_dev
    for top, below, names in os.walk(folder):
        below[:] = [name for name in below if is_on(device, os.path.join(top, name))]
        for name in names:
            file = Path(top) / name
            if not file.is_symlink() and not file.is_fifo():
                yield file


def is_on(device, path):
    """Whether a path is of this filesystem: what the kernel shows of itself in a folder (sysfs) is none of the folder's files."""
    try:
        return os.lstat(path).st_dev == device
    except OSError:
        return False


def is_core(file):
    """Whether it is named as a core and is one."""
    if not CORE.fullmatch(file.name) or not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(4) == b"\x7fELF"


def crash(machine, *argv, env=None):
    """Crashes a program in the middle of its work, in a folder of its own and with all that a core file needs; whether it did."""
    # A shell stays, to say how it ended: nsenter would end by the same signal, with a core of its own.
    script = 'mkdir -p /var/tmp/crash; cd /var/tmp/crash; (ulimit -c unlimited; exec "$@"); exit $?'
    program = os.path.basename(str(argv[0]))
    for seconds in (0.2, 0.1, 0.05, 0.02, 0.0):
        child = machine.spawn("sh", "-c", script, "sh", *argv, env=env, log="crash.log")

        def began():
            # The shell becomes the program, and so does nobody else of that command line.
            return [pid for pid in machine.processes(program)
                    if os.path.basename(os.readlink(f"/proc/{pid}/exe")) == program and in_folder(pid)]

        try:
            found = wait.until(f"{program} runs", began, 3, 0.005)
            time.sleep(seconds)
            for pid in found:
                os.kill(pid, signal.SIGABRT)
        except (wait.Timeout, ProcessLookupError):
            found = []
        # As a shell says it of a child that ended by a signal.
        if child.wait(60) == 128 + signal.SIGABRT and found:
            return True
    return False


def in_folder(pid):
    """Whether a process works in the folder in which programs are crashed."""
    return os.readlink(f"/proc/{pid}/cwd").endswith("/var/tmp/crash")


def cores_of_crashes(machine):
    """The core files that crashed programs left on a machine."""
    return [path for path, data in machine.files("/var/tmp/crash").items() if data[:4] == b"\x7fELF"]


def keeps_cores():
    """Whether this kernel leaves a core file where the program worked, and hands it to no other program."""
    return not Path("/proc/sys/kernel/core_pattern").read_text(encoding="utf-8").startswith(("|", "/"))


def token_env(lab, token):
    """The environment in which a program of the product has a token: where its file is on the machine."""
    return {"CONSUL_HTTP_TOKEN_FILE": f"{TOKENS}/{token}"} if lab.shape.acl else {}
