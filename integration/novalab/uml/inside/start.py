"""The first stage of a disk lab machine's boot: PID 1 between the initrd and what the machine's init really is.

    start.py MACHINE-FOLDER        reads spec.json there

Makes what the machine has of its own before any of its services can look: API file systems, what it sees of the
outside (through hostfs), files that were installed while it was off, name, network, shared disks, DMI. Then it goes on
as a lean init of its own, or becomes systemd, as the spec says.
"""

import json
import os
import shutil
import socket
import subprocess
import sys

CODE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
sys.path.insert(0, CODE)

from novalab import boot  # noqa: E402
from novalab.uml.inside import disks, initiator, lean, shelf, units  # noqa: E402

# Everything that may be wanted later too: a class in /sys that a module made after the DMI would be invisible.
MODULES = ("configfs", "t10-pi", "sd_mod", "sg", "target_core_mod", "target_core_iblock", "tcm_loop", "md-mod", "raid0",
           "raid1", "raid10", "raid456", "dm-mod", "loop")
MS_RDONLY, MS_SYNCHRONOUS = 1, 16


def tell(stage):
    """A line on the console, which is the machine's boot.log, with the seconds since the kernel began."""
    with open("/proc/uptime", encoding="utf-8") as file:
        print(f"lab: {stage} at {file.read().split()[0]} s", flush=True)


def file_systems():
    """What every init mounts first; systemd finds it done."""
    boot.mount("tmpfs", "/run", "tmpfs", boot.MS_NOSUID | boot.MS_NODEV, "mode=755,size=64m")
    for folder in ("/run/sshd", "/run/lock", "/dev/pts", "/dev/shm"):
        os.makedirs(folder, 0o755, exist_ok=True)
    boot.mount("devpts", "/dev/pts", "devpts", boot.MS_NOSUID | boot.MS_NOEXEC, "mode=620,ptmxmode=666,gid=5")
    boot.mount("tmpfs", "/dev/shm", "tmpfs", boot.MS_NOSUID | boot.MS_NODEV, "mode=1777,size=64m")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        if not os.path.lexists(f"/dev/{name}"):
            os.symlink(target, f"/dev/{name}")
    # Where the kernel of a namespace machine shows its boot id to the lab.
    shutil.copy("/proc/sys/kernel/random/boot_id", "/run/boot_id")


def outside(folders, files, log):
    """Folders and files of the outer machine at their own paths, read-only; the log folder is written through."""
    for path in folders:
        os.makedirs(path, exist_ok=True)
        boot.mount("none", path, "hostfs", MS_RDONLY, path)
    for number, path in enumerate(files):
        folder = f"/run/outside/{number}"
        os.makedirs(folder)
        boot.mount("none", folder, "hostfs", MS_RDONLY, os.path.dirname(path))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab"):
            pass
        boot.mount(f"{folder}/{os.path.basename(path)}", path, "none", boot.MS_BIND)
    # Synchronous: the last lines before a power cut are the ones that matter.
    boot.mount("none", log, "hostfs", MS_SYNCHRONOUS, log)
    os.makedirs("/var/log/nova-ha", exist_ok=True)
    os.makedirs(f"{log}/nova-ha", exist_ok=True)
    boot.mount(f"{log}/nova-ha", "/var/log/nova-ha", "none", boot.MS_BIND)


def take_in(inbox):
    """Moves what was installed from outside while the machine was off onto its disk.

    Nothing leaves the inbox before all of it is on the disk: a power cut in between repeats it.
    """
    inner = "/run/inbox"
    os.makedirs(inner)
    boot.mount("none", inner, "hostfs", 0, inbox)
    taken = []
    for folder, _, files in os.walk(inner):
        target = os.path.join("/", os.path.relpath(folder, inner))
        os.makedirs(target, exist_ok=True)
        for name in files:
            source, path = os.path.join(folder, name), os.path.join(target, name)
            if os.path.lexists(path):
                os.unlink(path)
            shutil.copy2(source, path, follow_symlinks=False)
            taken.append(source)
    if taken:
        os.sync()
    for source in taken:
        os.unlink(source)
    subprocess.run(["umount", inner], check=True)


def network(spec):
    """eth0 on the lab's bridge, eth1 on the storage network; lab0 leads to the lab alone and is how it reaches in, whatever
    happens to the others."""
    commands = ["link set lo up", "link set vec0 name eth0", "link set vec1 name lab0",
                f"addr add {spec['address']}/16 dev eth0", "link set eth0 up",
                f"addr add {spec['inner_address']}/30 dev lab0", "link set lab0 up"]
    if spec["storage_address"]:
        commands += ["link set vec2 name eth1", f"addr add {spec['storage_address']}/16 dev eth1", "link set eth1 up"]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(commands) + "\n", text=True, check=True)


def shared_disks(spec):
    """What of them the machine has: it is their shelf, it reaches one, or it has its own way to each."""
    if spec["exports"]:
        shelf.export(spec["disks"], spec["exports"], spec["storage_address"])
    elif spec["shelf"]:
        initiator.log_in(**spec["shelf"])
    else:
        disks.attach_all(spec["disks"], spec["index"])


def main(folder):
    """Boots."""
    os.environ["PATH"] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    file_systems()
    with open_outside(folder) as file:
        spec = json.load(file)
    outside(spec["folders"], spec["files"], f"{folder}/log")
    take_in(f"{folder}/inbox")
    socket.sethostname(spec["name"])
    network(spec)
    tell("network is up")
    subprocess.run(["modprobe", "-a", *MODULES], check=True)
    shared_disks(spec)
    boot.own_dmi(spec["dmi"])
    tell("disks are attached")
    if spec["init"] == "systemd":
        units.become_systemd(spec, f"{folder}/log")
    lean.main(spec, f"{folder}/log", tell)


def open_outside(folder):
    """The spec, before anything of the outside is mounted for good."""
    os.makedirs("/run/spec")
    boot.mount("none", "/run/spec", "hostfs", MS_RDONLY, folder)
    return open("/run/spec/spec.json", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
