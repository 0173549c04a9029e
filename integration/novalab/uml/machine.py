"""A machine with a kernel of its own: the same to the lab as a namespace machine, see ../machine.py.

Its folder has, beside what every machine's has:

    own.img   its disk: what it wrote survives power cuts     inbox/   files that it takes in at its next boot
    uml/      the control socket of its kernel
"""

import base64
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from novalab import paths, wait
from novalab.machine import Done, Machine
from novalab.uml import channel, image, kernel
from novalab.uml.inside import lean

# Sparse, in RAM: what is not written costs nothing.
OWN_DISK_MB = 1024
BOOT_SECONDS = 90


class UmlMachine(Machine):
    """One host or HA node of a run that is a User-mode Linux guest."""

    product_name = "User-mode Linux"
    # Whether it has disks that more than one machine sees.
    has_disks = True

    def __init__(self, state, run, name, kind, index, options):
        super().__init__(state, run, name, kind, index)
        self.memory_mb = options["memory_mb"]
        self.init = options["init"]
        # Of its card on the storage network; None where there is none.
        self.storage_address = f"10.78.1.{index}" if options["storage_network"] else None

    # Making it

    def install(self, network, services, env, hosts_file):
        """Lays out its folder, its disk and its spec."""
        super().install(network, services, env, hosts_file)
        built = image.folder()
        folders = [str(paths.REPO), str(self.state), str(paths.BIN_DIR)]

        def more(spec):
            spec.update(
                machine="uml", init=self.init, memory_mb=self.memory_mb, kernel=image.KERNEL, preload=str(image.preload()),
                root=str(built / "root.squashfs"), initrd=str(built / "initrd.gz"), lab_link=channel.LINK,
                inner_address=channel.INNER, storage_address=self.storage_address, disks=[], exports=[], shelf=None,
                folders=[path for path in folders if not any(inside(path, other) for other in folders)], files=[paths.CONSUL])
        self.change_spec(more)
        own = self.folder / "own.img"
        with open(own, "wb") as file:
            file.truncate(OWN_DISK_MB << 20)
        subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-J", "size=16", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard",
                        str(own)], check=True, capture_output=True, timeout=30)
        (self.folder / "uml").mkdir()

    def opaque(self, folder):
        """Nothing of the outer machine shines through anywhere."""

    def accounts(self):
        """The texts of passwd and group before the lab adds its own."""
        return tuple((image.folder() / name).read_text(encoding="utf-8") for name in ("passwd", "group"))

    # Its files

    def path(self, path):
        """Where a file lies that it takes in at its next boot; there is no way to a living machine's files but to ask it."""
        if self.latch.lives():
            raise AssertionError(f"{path} of {self.name} is behind a kernel of its own: install_file, read_file, files, exec")
        return self.folder / "inbox" / path.lstrip("/")

    def install_file(self, path, text, mode=0o644):
        """Writes a file of the machine; of one that is off, when it boots."""
        if not self.latch.lives():
            super().install_file(path, text, mode)
            return
        data = text if isinstance(text, bytes) else text.encode()
        self._ask({"do": "put", "path": path, "mode": mode, "data": base64.b64encode(data).decode()})

    def read_file(self, path):
        """A file of the living machine as text. Raises OSError."""
        code, out, err = self._call({"do": "get", "path": path}, timeout=10)
        if code != 0:
            raise FileNotFoundError(f"{path} of {self.name}: {err.strip()}")
        return out

    def files(self, folder, suffix=""):
        """The files below a folder of the living machine whose names end so: `{path below it: content}`."""
        found = json.loads(self._ask({"do": "files", "path": folder, "suffix": suffix}))
        return {name: base64.b64decode(data) for name, data in sorted(found.items())}

    def names(self, folder):
        """The names in a folder of the living machine, in order."""
        return sorted(self.exec("ls", "-A", "--", folder, check=True).out.split("\n")[:-1])

    def sees(self, folder):
        """Mounts a folder of the outer machine at its own path, read-only, from its next boot on."""
        def more(spec):
            if not any(folder == other or inside(folder, other) for other in spec["folders"]):
                spec["folders"].append(folder)
        self.change_spec(more)

    def log_folders(self):
        """Where its logs lie outside; they are written through."""
        return {"": self.folder / "log", "nova-ha": self.folder / "log" / "nova-ha"}

    # Its life

    def wait_up(self, timeout=BOOT_SECONDS):
        """Until its boot is over: disks attached, services started."""
        deadline = time.monotonic() + timeout
        while True:
            if not self.latch.lives():
                raise wait.Timeout(f"{self.name} died while it booted; see its boot.log")
            try:
                if self.exec("test", "-e", lean.UP, timeout=10).code == 0:
                    return
            except AssertionError as error:
                if time.monotonic() > deadline:
                    raise wait.Timeout(f"not within {timeout} s: {self.name} is up ({error})") from error
            time.sleep(0.1)

    def boot_id(self):
        """The id of this boot. Raises OSError."""
        return self.read_file("/proc/sys/kernel/random/boot_id").strip()

    def signal_all(self, number):
        """Signals its kernel: the whole machine stands still, or goes on. What its processes run in is the kernel's own affair."""
        for pid in self.pids():
            if _tracer(pid) == 0:
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue

    def panic(self):
        """Its kernel really panics, and whatever is left then is killed."""
        try:
            kernel.mconsole(self.folder, self.name, "sysrq c", timeout=2.0)
        except OSError:
            # A kernel that panics may be gone before it has answered: that is not waited for.
            pass
        self.latch.die("panic")

    def say_what_hangs(self):
        """Its kernel says on its console which tasks wait for a disk, and where; one that does not answer says nothing."""
        if self.latch.lives():
            try:
                # All levels go to the console first.
                for key in ("8", "w", "m"):
                    kernel.mconsole(self.folder, self.name, f"sysrq {key}", timeout=2.0)
            except OSError:
                return

    def processes(self, word):
        """Pids, inside, of the machine's processes whose command line holds the word."""
        return json.loads(self._ask({"do": "processes", "word": word})) if self.latch.lives() else []

    def kill_processes(self, word, number=signal.SIGKILL):
        """Signals them and returns how many; after SIGKILL they are gone."""
        return int(self._ask({"do": "kill", "word": word, "signal": int(number)})) if self.latch.lives() else 0

    def enter(self, argv):
        """The command line that runs `argv` inside the machine."""
        pid, start = self._identity()
        return [paths.PYTHON, "-I", "-S", str(Path(channel.__file__)), self._namespace(), str(pid), str(start),
                *[str(a) for a in argv]]

    def exec(self, *argv, env=None, stdin=None, timeout=60, check=False):
        """Runs a program inside the machine, with the environment that its services have."""
        request = {"do": "run", "argv": [str(a) for a in argv], "env": {**self.spec()["env"], **(env or {})}}
        code, out, err = self._call(request, (stdin or "").encode(), timeout)
        result = Done(list(argv), code, out, err)
        if check and code != 0:
            raise AssertionError(f"on {self.name}: {result}")
        return result

    def _identity(self):
        identity = self.latch.identity()
        if not self.latch.lives():
            raise AssertionError(f"{self.name} does not live: nothing can be run in it")
        return identity

    def _namespace(self):
        return f"nvlab-{self.run_name}-{self.name}"

    def _call(self, request, stdin=b"", timeout=60):
        what = " ".join(request.get("argv", [request["do"], request.get("path", "")]))
        try:
            code, out, err = channel.call(self._namespace(), self._identity(), request, stdin, timeout)
        except TimeoutError as error:
            raise AssertionError(f"{self.name}: {what}: not done within {timeout} s") from error
        except OSError as error:
            raise AssertionError(f"{self.name}: {what}: its agent does not answer: {error}") from error
        return code, out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    def _ask(self, request):
        code, out, err = self._call(request)
        if code != 0:
            raise AssertionError(f"on {self.name}: {request['do']}: {err.strip()}")
        return out


def inside(path, other):
    """Whether a path is below another one, which shows it already."""
    return path != other and Path(other) in Path(path).parents


def _tracer(pid):
    """Who traces a process; 0: nobody. The processes of the machine are traced by its kernel, which alone may stop them."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("TracerPid:"):
                return int(line.split()[1])
    except OSError:
        pass
    return -1
