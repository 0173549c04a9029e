"""Processes of the lab outside its machines: started in their namespace, recorded, killed only if still the same.

A record holds the pid and the start time from /proc, so that a pid which the kernel has given to someone else since
is never killed.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

# A process reads its new program from disk within it; one that has emptied its command line itself does so for good.
EXECVE_SECONDS = 2.0


def start_time(pid):
    """The start time of a living process in clock ticks since boot; None for a dead one or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def command_line(pid):
    """What a process was started with, its words parted by spaces. Raises OSError where there is none, or it is of the kernel.

    It reads empty while the process becomes another program (execve), and where it is dead.
    """
    deadline = time.monotonic() + EXECVE_SECONDS
    while True:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        if line or time.monotonic() > deadline:
            return line.replace(b"\0", b" ").decode("utf-8", "replace")
        # There is none of a dead one, or of a thread of the kernel.
        os.readlink(f"/proc/{pid}/exe")
        time.sleep(0.001)


def alive(identity):
    """Whether the process of `(pid, start time)` is there and still the same one."""
    return identity is not None and start_time(identity[0]) == identity[1]


def kill(identity, number=signal.SIGKILL, wait=3.0):
    """Signals that very process; after SIGKILL waits until it is gone. True if there was something to signal."""
    if not alive(identity):
        return False
    try:
        os.kill(identity[0], number)
    except ProcessLookupError:
        return False
    if number == signal.SIGKILL:
        deadline = time.monotonic() + wait
        while alive(identity) and time.monotonic() < deadline:
            time.sleep(0.005)
        if alive(identity):
            raise RuntimeError(f"pid {identity[0]} survives SIGKILL for {wait} s")
        reap(identity[0])
    return True


def reap(pid):
    """Takes the zombie away where it is our child; someone else's is theirs to take."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass


class Registry:
    """The services of one run by name, in `services.json` of its state folder."""

    def __init__(self, state):
        self.folder = Path(state) / "services"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logs = Path(state) / "log"
        self.logs.mkdir(parents=True, exist_ok=True)

    def start(self, name, argv, namespace=None, env=None, cwd=None):
        """Starts a service, detached from us, in a network namespace; its output goes to log/NAME.log."""
        if self.running(name):
            raise RuntimeError(f"{name} is running already")
        if namespace:
            argv = ["nsenter", f"--net=/run/netns/{namespace}", "--", *argv]
        with open(self.logs / f"{name}.log", "ab") as log:
            child = subprocess.Popen(
                [str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env, cwd=cwd,
                start_new_session=True)
        record = {"pid": child.pid, "start": start_time(child.pid), "argv": [str(a) for a in argv]}
        (self.folder / f"{name}.json").write_text(json.dumps(record), encoding="utf-8")
        # Popen would warn that it still runs; the record is what we keep.
        child.returncode = 0
        return child.pid

    def identity(self, name):
        """`(pid, start time)` of a service that was started, else None."""
        try:
            record = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return record["pid"], record["start"]

    def running(self, name):
        """Whether the service lives."""
        return alive(self.identity(name))

    def kill(self, name, number=signal.SIGKILL):
        """Signals a service; False if it was not running."""
        return kill(self.identity(name), number)

    def kill_all(self):
        """Ends every service of the run. The signals go out first, then each end is awaited."""
        names = [p.stem for p in self.folder.glob("*.json")]
        for name in names:
            identity = self.identity(name)
            if alive(identity):
                try:
                    os.kill(identity[0], signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for name in names:
            self.kill(name)
            identity = self.identity(name)
            if identity:
                reap(identity[0])
