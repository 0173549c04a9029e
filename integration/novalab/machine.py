"""A machine of the lab: a host or an HA node. What it is made of, and how to reach into it.

Outside view. The inside is boot.py (PID 1), the power is latch.py. A machine's folder in the run's state:

    spec.json    everything a boot needs          disk/{etc,var,opt}   what the machine itself wrote: survives power cuts
    latch        on | off                          log/                 boot.log and one log per service
"""

import json
import os
import signal
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

from novalab import bmc, latch, paths, processes, sshd

# Stable across runs and machines, so that logs of two runs can be compared.
IDENTITIES = uuid.UUID("6c616272-6f6f-4d00-8000-6e6f76616861")


@dataclass
class Done:
    """What a program that ran inside a machine left behind."""

    argv: list
    code: int
    out: str
    err: str

    def json(self):
        """Its stdout as JSON."""
        try:
            return json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"{self}: stdout is not JSON") from error

    def __str__(self):
        return f"{' '.join(map(str, self.argv))}: exit {self.code}\n{self.out}{self.err}".rstrip()


class Machine:
    """One host or HA node of a run. `index` is its number on the bridge and the last part of its addresses."""

    product_name = "Namespace"
    # Whether it has disks that more than one machine sees: only uml/machine.py's.
    has_disks = False

    def __init__(self, state, run, name, kind, index):
        self.state = Path(state)
        self.run_name = run
        self.name = name
        self.kind = kind
        self.index = index
        self.address = f"10.77.1.{index}"
        self.bmc_address = f"10.77.2.{index}"
        self.uuid = str(uuid.uuid5(IDENTITIES, name))
        self.serial = f"LAB{index:05d}"
        self.folder = self.state / "machines" / name
        self.latch = latch.Latch(self.state, name)
        self.bmc_password, self.ssh_password = bmc.PASSWORD, sshd.PASSWORD
        # A list that takes what every program said that was run in it, where somebody wants to look at that.
        self.heard = None

    # Making it

    def install(self, network, services, env, hosts_file):
        """Lays out its folder and disk. `services` are what its PID 1 starts, in this order."""
        for name in ("log", "disk", "overlay"):
            (self.folder / name).mkdir(parents=True)
        self._save_spec({
            "machine": "namespaces", "name": self.name, "run": self.run_name, "index": self.index, "address": self.address,
            "bridge": network.bridge, "services": services, "env": env,
            "dmi": {"product_uuid": self.uuid, "product_serial": self.serial, "board_serial": self.serial,
                    "chassis_serial": self.serial, "sys_vendor": "nova-ha lab", "product_name": self.product_name,
                    "board_vendor": "nova-ha lab", "bios_vendor": "nova-ha lab"},
        })
        # Folders in which nothing of the outer machine may shine through: its SSH host keys above all.
        for folder in ("etc/ssh", "etc/consul.d", "etc/openstack", "etc/nova-ha", "var/lib/consul", "var/lib/nova-ha",
                       "opt/nova-ha"):
            self.opaque(folder)
        self.install_file("/etc/hostname", self.name + "\n")
        self.install_file("/etc/hosts", hosts_file)
        self.install_file("/etc/resolv.conf", "# no name server: every name of the lab is in /etc/hosts\n")
        self.install_file("/etc/machine-id", uuid.UUID(self.uuid).hex + "\n")

    def opaque(self, folder):
        """Makes a folder of the machine start empty, whatever the outer machine has at that place."""
        path = self.folder / "disk" / folder
        path.mkdir(parents=True, exist_ok=True)
        os.setxattr(path, "trusted.overlay.opaque", b"y")

    def accounts(self):
        """The texts of passwd and group before the lab adds its own."""
        return tuple(Path("/etc", name).read_text(encoding="utf-8") for name in ("passwd", "group"))

    def spec(self):
        """The specification that its next boot uses."""
        return json.loads((self.folder / "spec.json").read_text(encoding="utf-8"))

    def change_spec(self, change):
        """Calls `change(spec)` and saves the result; it takes effect at the next boot."""
        spec = self.spec()
        change(spec)
        self._save_spec(spec)

    def _save_spec(self, spec):
        (self.folder / "spec.json").write_text(json.dumps(spec, indent=1), encoding="utf-8")

    # Its files

    def path(self, path):
        """Where a path of the machine is on the outside, alive or off (only /etc, /var, /opt and /run are its own)."""
        if self.latch.lives():
            return Path(f"/proc/{self.latch.identity()[0]}/root{path}")
        return self.folder / "disk" / path.lstrip("/")

    def install_file(self, path, text, mode=0o644):
        """Writes a file of the machine, with its folders."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        data = text if isinstance(text, bytes) else text.encode()
        # Replaced as a whole: a Consul agent that reloads meanwhile must not read half of it.
        partial = target.with_name(target.name + ".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        os.chmod(partial, mode)
        os.replace(partial, target)

    def read_file(self, path):
        """A file of the machine as text."""
        return self.path(path).read_text(encoding="utf-8")

    def link_file(self, path, target):
        """A symbolic link on its disk, before it boots."""
        link = self.path(path)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)

    def files(self, folder, suffix=""):
        """The files below a folder of the machine whose names end so: `{path below it: content}`."""
        top = self.path(folder)
        return {str(file.relative_to(top)): file.read_bytes() for file in sorted(top.rglob(f"*{suffix}")) if file.is_file()}

    def names(self, folder):
        """The names in a folder of the machine, in order."""
        return sorted(path.name for path in self.path(folder).iterdir())

    def sees(self, folder):
        """Lets it read a folder of the outer machine: nothing to do, it sees all of them."""

    def log_folders(self):
        """Where its logs lie outside: `{name: folder}`, its services' and those that the product's executables write."""
        return {"": self.folder / "log", "nova-ha": self.folder / "disk" / "var" / "log" / "nova-ha"}

    # Its life

    def wait_up(self):
        """Until its boot is over: at once, its services come up while others boot."""

    def boot_id(self):
        """The id of this boot. Raises OSError."""
        return self.read_file("/run/boot_id").strip()

    def panic(self):
        """Its kernel dies, as far as one can that it shares with others: everything in it is killed."""
        self.latch.die("panic")

    def pids(self):
        """The pids, as the outside sees them, of everything in the machine's PID namespace."""
        if not self.latch.lives():
            return []
        init = self.latch.identity()[0]
        try:
            space = os.readlink(f"/proc/{init}/ns/pid")
        except OSError:
            return []
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    if os.readlink(f"/proc/{entry}/ns/pid") == space:
                        found.append(int(entry))
                except OSError:
                    continue
        return found

    def signal_all(self, number):
        """Signals everything in the machine, PID 1 too; twice, because of those that forked meanwhile."""
        for _ in range(2):
            for pid in self.pids():
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue

    def say_what_hangs(self):
        """Whatever of it waits for a disk says so in its logs: only of machines with a kernel of their own."""

    def processes(self, word):
        """Pids of the machine's processes whose command line holds the word."""
        found = []
        for pid in self.pids():
            try:
                if word in processes.command_line(pid):
                    found.append(pid)
            except OSError:
                continue
        return found

    def kill_processes(self, word, number=signal.SIGKILL):
        """Signals the machine's processes whose command line holds the word, and returns how many.

        After SIGKILL it waits until they are gone, so that their ports are closed when it returns.
        """
        found = [(pid, processes.start_time(pid)) for pid in self.processes(word)]
        return sum(processes.kill(identity, number) for identity in found)

    def start(self, name):
        """Starts a service of the spec again, inside the living machine."""
        service = next(s for s in self.spec()["services"] if s["name"] == name)
        with open(self.folder / "log" / f"{name}.log", "ab") as log:
            child = subprocess.Popen(self.enter(service["argv"]), env={**self.spec()["env"], **service.get("env", {})},
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        child.returncode = 0

    def enter(self, argv):
        """The command line that runs `argv` inside the machine."""
        identity = self.latch.identity()
        if not processes.alive(identity):
            raise AssertionError(f"{self.name} does not live: nothing can be run in it")
        return ["nsenter", "-t", str(identity[0]), "-m", "-u", "-i", "-n", "-p", "-T", "--wd=/", "--",
                *[str(a) for a in argv]]

    def exec(self, *argv, env=None, stdin=None, timeout=60, check=False):
        """Runs a program inside the machine, with the environment that its services have."""
        command = self.enter(argv)
        # Never our own: what reads it would wait for whoever sits at our terminal, or eat what is meant for us.
        source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
        try:
            done = subprocess.run(command, env={**self.spec()["env"], **(env or {})}, **source, capture_output=True,
                                  text=True, errors="replace", timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{self.name}: {' '.join(map(str, argv))}: not done within {timeout} s") from error
        result = Done(list(argv), done.returncode, done.stdout, done.stderr)
        if self.heard is not None:
            self.heard.append(result)
        if check and done.returncode != 0:
            raise AssertionError(f"on {self.name}: {result}")
        return result

    def spawn(self, *argv, env=None, log=None):
        """Starts a program inside the machine and returns its Popen, for races and kills."""
        out = open(self.folder / "log" / (log or "spawned.log"), "ab")
        with out:
            return subprocess.Popen(self.enter(argv), env={**self.spec()["env"], **(env or {})},
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)


def services_env(agent="http://127.0.0.1:8500"):
    """The environment of everything that runs in a machine; `agent` is where its Consul agent is asked."""
    consul_folder = os.path.dirname(paths.CONSUL)
    return {
        "PATH": f"/opt/nova-ha/bin:{consul_folder}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root", "LANG": "C.UTF-8",
        "CONSUL_HTTP_ADDR": agent,
        "OS_CLIENT_CONFIG_FILE": "/etc/openstack/clouds.yaml",
    }
