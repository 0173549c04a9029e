"""The power of a machine: a latch, and what really happens when it moves.

The latch (a file that holds `on` or `off`) is the switch in front of the power supply. It is apart from the life of
the machine behind it: a machine that panicked is dead with its latch on. Moving it to off cuts the machine for real:
its link goes down first, so that no dying process can say goodbye, then everything in its PID namespace is killed.
Moving it to on boots the machine in a fresh network namespace with its old identity, disk and MAC address.

Run as a program it is the chassis control program of `ipmi_sim` (see bmc.py):

    latch.py STATE BMC get power | set power 0|1 | set reset 1 | set shutdown 1 | check ...

ipmi_sim calls it again when it takes longer than a second, so it is idempotent and imports little. A BMC can
misbehave; the files of its folder say how:

    victim   the machine it is really wired to (another one than its own: someone swapped the cables)
    stuck    says OK to every power command and does nothing; reads tell the truth
    lies     reads off whatever is true, says OK to every command and does nothing
    slow     holds a number: says OK at once, and the command takes effect that many seconds later
"""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time

if __name__ == "__main__":
    # Started with -I -S by ipmi_sim, for speed: the package is the folder above.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from novalab import events, processes

HERE = os.path.dirname(os.path.abspath(__file__))


def _read(*parts):
    try:
        with open(os.path.join(*parts), encoding="utf-8") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def _write(text, *parts):
    path = os.path.join(*parts)
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)


class Latch:
    """The power switch of one machine of a run."""

    def __init__(self, state, machine):
        self.state = str(state)
        self.machine = machine
        self.folder = os.path.join(self.state, "machines", machine)

    def is_on(self):
        """Where the switch stands. A latch that nobody has moved yet is off."""
        return _read(self.folder, "latch") == "on"

    def identity(self):
        """`(pid, start time)` of the machine's PID 1 as the outside sees it, or None if it never booted."""
        text = _read(self.folder, "init.pid")
        return tuple(int(x) for x in text.split()) if text else None

    def lives(self):
        """Whether the machine's PID 1 runs: its kernel is alive and nothing is said about what still works."""
        return processes.alive(self.identity())

    def off(self, why):
        """Cuts the power. Nothing happens where it is off already. Less than 0.1 s."""
        with self._locked():
            was_on = self.is_on()
            _write("off", self.folder, "latch")
            lived = self.lives()
            spec = self._spec()
            if was_on or lived:
                self._ip(spec, "link", "set", f"p{spec['index']}", "down")
                self._kill()
                events.record(self.state, "off", machine=self.machine, why=why, lived=lived)

    def die(self, why):
        """The machine dies with its power on (a panic). The caller has made its port silent before."""
        with self._locked():
            self._kill()
            events.record(self.state, "died", machine=self.machine, why=why)

    def on(self, why):
        """Boots the machine. Nothing happens where it lives; one that panicked stays as it is (its power is on)."""
        with self._locked():
            if self.is_on():
                return
            self._boot()
            _write("on", self.folder, "latch")
            events.record(self.state, "on", machine=self.machine, why=why)

    def reset(self, why):
        """Power cycle without the switch moving."""
        self.off(why)
        self.on(why)

    def _spec(self):
        return json.loads(_read(self.folder, "spec.json"))

    def _ip(self, spec, *words):
        subprocess.run(["ip", "-n", spec["bridge"], *words], check=True, capture_output=True, timeout=10)

    def _kill(self):
        """SIGKILL to PID 1; the kernel then ends everything in its namespace before PID 1 is gone."""
        processes.kill(self.identity())

    def _boot(self):
        from novalab import net  # Only a boot needs it, and a power reading must be fast.

        spec = self._spec()
        network = net.Network(spec["run"])
        network.undrop("silent", spec["index"])
        network.undrop("dumping", spec["index"])
        unplugged = _read(self.folder, "unplugged") is not None
        if spec["machine"] == "uml":
            kind, command, folder = self._uml(spec, network, not unplugged)
        else:
            kind, command, folder = self._namespaces(spec, network, not unplugged)
        with open(os.path.join(self.folder, "log", "boot.log"), "ab") as log:
            child = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{network.namespace(self.machine)}", "--",
                 "unshare", *kind, "--uts", "--ipc", "--mount", "--propagation", "private", "--pid", "--fork",
                 "--mount-proc", "--kill-child=KILL", "--", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=folder, env=spec["env"])
        init = self._first_child(child.pid)
        _write(f"{init} {processes.start_time(init)}", self.folder, "init.pid")
        child.returncode = 0

    def _namespaces(self, spec, network, up):
        """What boots a machine that shares our kernel."""
        network.add_node(self.machine, spec["index"], spec["address"], up=up)
        # Its clocks since boot start near zero, as a machine's do. One second more than 0: an offset must not be late.
        boot = int(time.clock_gettime(time.CLOCK_BOOTTIME)) - 1
        mono = int(time.clock_gettime(time.CLOCK_MONOTONIC)) - 1
        clocks = ["--time", "--boottime", str(-boot), "--monotonic", str(-mono)]
        return clocks, ["/usr/bin/python3", "-I", "-S", os.path.join(HERE, "boot.py"), self.folder], "/"

    def _uml(self, spec, network, up):
        """What boots a machine with a kernel of its own: a child of PID 1, as PID 1 it could not end itself in a panic."""
        from novalab import net
        from novalab.uml import channel, kernel

        network.add_wires(self.machine, spec["index"], kernel.NETWORK, channel.LINK, channel.OUTER, up=up)
        if spec["storage_address"]:
            network.add_storage_wire(self.machine, spec["index"], kernel.STORAGE)
        kernel.forget(self.folder, spec["name"])
        command = kernel.command(self.folder, spec, net.mac(spec["index"]), net.mac(spec["index"], storage=True))
        return [], ["/bin/sh", "-c", '"$@" & wait', "power", *command], self.state

    def _first_child(self, parent):
        """The PID 1 of the new namespace: unshare's only child."""
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            children = (_read("/proc", str(parent), "task", str(parent), "children") or "").split()
            if children:
                return int(children[0])
            time.sleep(0.002)
        raise RuntimeError(f"{self.machine} does not boot; see its boot.log")

    def _locked(self):
        return _Lock(os.path.join(self.folder, "latch.lock"))


class _Lock:
    """An exclusive lock on a file: two power commands to one machine never overlap."""

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.file = open(self.path, "w", encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


class Bmc:
    """What a BMC does with a power command, with its faults. Shared by the IPMI and the Redfish front."""

    def __init__(self, state, name):
        self.state = str(state)
        self.name = name
        self.folder = os.path.join(self.state, "bmc", name)

    def latch(self):
        """The latch it is wired to."""
        return Latch(self.state, _read(self.folder, "victim") or self.name)

    def reads_on(self):
        """What it answers when asked for the power."""
        return False if self._has("lies") else self.latch().is_on()

    def command(self, what, via):
        """Carries out `off`, `on` or `reset` as far as its faults let it, and always succeeds."""
        latch = self.latch()
        obeyed = not (self._has("stuck") or self._has("lies"))
        events.record(self.state, "command", bmc=self.name, machine=latch.machine, what=what, via=via, obeyed=obeyed)
        if not obeyed:
            return
        delay = float(_read(self.folder, "slow") or 0)
        if delay <= 0:
            self._apply(latch, what, via)
        elif os.fork() == 0:
            # Not a child that anyone waits for: ipmi_sim has its answer now, the power moves later.
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (0, 1, 2):
                os.dup2(null, descriptor)
            time.sleep(delay)
            self._apply(latch, what, via)
            os._exit(0)

    def _apply(self, latch, what, via):
        why = f"{via} {what} by the BMC of {self.name}"
        {"off": latch.off, "on": latch.on, "reset": latch.reset}[what](why)

    def _has(self, flag):
        return os.path.exists(os.path.join(self.folder, flag))


def chassis(argv):
    """ipmi_sim's chassis control interface. Exit 0 and `name:value` lines for get."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    state, name, operation = argv[:3]
    bmc, rest = Bmc(state, name), argv[3:]
    if operation == "get":
        for word in rest:
            value = {"power": str(int(bmc.reads_on())), "boot": "default"}.get(word, "0")
            print(f"{word}:{value}")
    elif operation == "set":
        for word, value in zip(rest[::2], rest[1::2]):
            if word == "power":
                bmc.command("on" if value == "1" else "off", "ipmi")
            elif word == "reset":
                bmc.command("reset", "ipmi")
            elif word == "shutdown":
                bmc.command("off", "ipmi")
    return 0


if __name__ == "__main__":
    sys.exit(chassis(sys.argv[1:]))
