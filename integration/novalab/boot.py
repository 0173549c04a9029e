"""PID 1 of a machine. Started by latch.py inside fresh network, PID, mount, time, UTS and IPC namespaces.

    boot.py MACHINE-FOLDER        reads spec.json there

Makes what a machine has of its own: `/etc`, `/var` and `/opt` (overlays whose upper layer is the machine's disk and
survives a power cut), `/run` (empty at every boot), `/sys` with its own network and its own DMI, a hostname, a boot id.
Then starts the services of the spec and reaps whatever dies until it is killed itself. It restarts nothing.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
import uuid

MS_BIND = 4096
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
_libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, flags=0, data=""):
    """mount(2). Raises OSError with the target's name."""
    if _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind} on {target}: {os.strerror(number)}")


def own_disk(folder):
    """Overlays: what the machine writes stays on its own disk, what it reads else is the outer machine's."""
    for name in ("etc", "var", "opt"):
        upper, work = f"{folder}/disk/{name}", f"{folder}/overlay/{name}"
        os.makedirs(upper, exist_ok=True)
        os.makedirs(work, exist_ok=True)
        mount("overlay", f"/{name}", "overlay", 0, f"lowerdir=/{name},upperdir={upper},workdir={work}")


def bind(pairs):
    """Folders of the outer machine at places of this one: storage that several machines share."""
    for source, target in pairs:
        os.makedirs(target, exist_ok=True)
        mount(source, target, "none", MS_BIND)


def own_sys(dmi):
    """A sysfs of this network namespace, with /sys/class/dmi/id as the spec says."""
    mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    own_dmi(dmi)


def own_dmi(dmi):
    """Makes /sys/class/dmi/id.

    Many kernels of virtual machines have no /sys/class/dmi, and sysfs allows no mkdir: so /sys/class becomes a tmpfs
    into which every real class is bound again. Their links are relative and still lead into /sys/devices.
    """
    classes = "/run/sys-class"
    os.makedirs(classes)
    mount("/sys/class", classes, "none", MS_BIND)
    names = [n for n in os.listdir(classes) if n != "dmi"]
    mount("tmpfs", "/sys/class", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=1m")
    for name in names:
        os.mkdir(f"/sys/class/{name}")
        mount(f"{classes}/{name}", f"/sys/class/{name}", "none", MS_BIND)
    os.makedirs("/sys/class/dmi/id")
    for name, value in dmi.items():
        path = f"/sys/class/dmi/id/{name}"
        with open(path, "w", encoding="utf-8") as file:
            file.write(value + "\n")
        # As the kernel has them: what identifies one machine is for root alone.
        os.chmod(path, 0o400 if name in ("product_uuid", "product_serial") else 0o444)


def own_run():
    """An empty /run, with a boot id that is new at every boot, as the kernel's is."""
    mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=64m")
    os.makedirs("/run/sshd", 0o755)
    os.makedirs("/run/lock", 0o755)
    boot_id = "/run/boot_id"
    with open(boot_id, "w", encoding="utf-8") as file:
        file.write(f"{uuid.uuid4()}\n")
    mount(boot_id, "/proc/sys/kernel/random/boot_id", "none", MS_BIND)


def start(service, env, logs):
    """Starts one service in a session of its own, after its delay (a slow machine)."""
    with open(f"{logs}/{service['name']}.log", "ab") as log:
        subprocess.Popen(
            service["argv"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True,
            env={**env, **service.get("env", {})})


def main(folder):
    """Boots."""
    with open(f"{folder}/spec.json", encoding="utf-8") as file:
        spec = json.load(file)
    own_disk(folder)
    own_run()
    own_sys(spec["dmi"])
    bind(spec.get("binds", []))
    socket.sethostname(spec["name"])
    env = spec["env"]
    for service in spec["services"]:
        if service.get("delay"):
            time.sleep(service["delay"])
        start(service, env, f"{folder}/log")
    reap()


def reap():
    """What is left to do for PID 1, for ever."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(0.2)
        except InterruptedError:
            pass


if __name__ == "__main__":
    main(sys.argv[1])
