"""The root image and the initrd of the disk lab's machines, made once and kept in the cache folder.

    CACHE/uml/HASH/{root.squashfs, initrd.gz, passwd, group}     HASH is of everything that makes them
    CACHE/uml/preload-HASH.so                                     loaded before the kernel, see uml/xstate.c, uml/timer.c

Safe to delete. The lab's code, the product and Consul are not in it: machines mount them from outside.
"""

import fcntl
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from novalab import paths

CACHE = Path(os.environ.get("NOVALAB_CACHE", "/nonexistent")) / "uml"
RECIPE = paths.INTEGRATION / "uml"
PRELOADED = ("xstate.c", "timer.c")
HERE = Path(__file__).resolve().parent
KERNEL = "/usr/bin/linux.uml"
MODULES = Path("/usr/lib/uml/modules")
SUITE = "bookworm"
BUILD_SECONDS = 900
# The same everywhere, as an operator of hosts that share disks has to see to; Debian reserves it for nova.
NOVA_UID = 64060
# What the initrd needs to get at the root (ext4 and hostfs are built in); inside/start.py loads the rest from the image.
FIRST_MODULES = ("squashfs", "overlay")
APPLETS = ("sh", "mount", "insmod", "switch_root", "mkdir", "cat")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
# Of no use in a machine that lives for a minute, and each costs a part of its boot.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
          "fstrim.timer", "mdcheck_start.timer", "mdcheck_continue.timer", "mdmonitor-oneshot.timer",
          "systemd-timesyncd.service", "getty@tty1.service", "console-getty.service", "getty.target", "getty-static.service", "ssh.socket",
          "systemd-pstore.service", "systemd-update-utmp.service", "systemd-networkd.service", "systemd-resolved.service",
          "systemd-firstboot.service", "systemd-hwdb-update.service", "systemd-journal-flush.service", "networking.service",
          # Disks are there before any init, see inside/initiator.py.
          "iscsid.socket", "iscsid.service", "open-iscsi.service")
# Nothing assembles an array by itself: only the product, or a scenario, by the array's UUID. Members are SCSI disks: what
# those are made of, see inside/disks.py, has the same bytes.
MDADM_CONF = "HOMEHOST <system>\nMAILADDR root\nAUTO -all\nDEVICE /dev/sd*\n"


def kernel_version():
    """The version of the kernel that is installed, by its modules."""
    found = sorted(p.name for p in MODULES.iterdir())
    if not found:
        raise RuntimeError("user-mode-linux has no modules: apt-get install --reinstall user-mode-linux")
    return found[-1]


def recipe_hash():
    """Names an image by what makes it: this code, the packages, the initrd and the kernel."""
    digest = hashlib.sha256(kernel_version().encode())
    for path in (Path(__file__), RECIPE / "packages", HERE / "initrd_init.sh"):
        digest.update(path.read_bytes())
    stat = os.stat(KERNEL)
    digest.update(f"{stat.st_size}".encode())
    return digest.hexdigest()[:16]


def folder():
    """Where the image that fits is, or will be."""
    return CACHE / recipe_hash()


def preload():
    """What the kernel needs on processors that are newer than it, and that are busy: a library."""
    digest = hashlib.sha256(b"".join((RECIPE / source).read_bytes() for source in PRELOADED))
    return CACHE / f"preload-{digest.hexdigest()[:16]}.so"


def packages(text):
    """The packages of a list with comments."""
    return [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]


def prepare():
    """Installs the parts and makes the image; milliseconds where both are there. Raises RuntimeError."""
    done = subprocess.run(["bash", str(RECIPE / "install.sh"), str(CACHE.parent)], check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the parts of the disk lab could not be installed (exit {done.returncode})")
    if (folder() / "initrd.gz").exists() and preload().exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    # Two labs that start at once make one image.
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not preload().exists():
            partial = CACHE / "preload.partial"
            _run("cc", "-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o", partial, *(RECIPE / source for source in PRELOADED))
            partial.rename(preload())
        if not (folder() / "initrd.gz").exists():
            started = time.monotonic()
            print("lab: making the root image of the disk lab (about a minute)", file=sys.stderr, flush=True)
            _make(folder())
            print(f"lab: image made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)


def _make(target):
    work = CACHE / "partial"
    shutil.rmtree(work, ignore_errors=True)
    (work / "made").mkdir(parents=True)
    root = work / "root"
    _bootstrap(root)
    _configure(root)
    version = kernel_version()
    shutil.copytree(MODULES / version, root / "lib" / "modules" / version, symlinks=True)
    _run("chroot", root, "depmod", version)
    _run("mksquashfs", root, work / "made" / "root.squashfs", "-comp", "lz4", "-no-xattrs", "-noappend", "-quiet", "-no-progress")
    for name in ("passwd", "group"):
        shutil.copy(root / "etc" / name, work / "made" / name)
    _initrd(work, root / "lib" / "modules" / version, work / "made" / "initrd.gz")
    shutil.rmtree(target, ignore_errors=True)
    (work / "made").rename(target)
    shutil.rmtree(work)


def _bootstrap(root):
    archive = _run("apt-get", "indextargets", "--format", "$(REPO_URI)", f"Codename: {SUITE}", "Created-By: Packages").split()
    if not archive:
        raise RuntimeError(f"apt knows no archive of {SUITE} to make the image from")
    wanted = packages((RECIPE / "packages").read_text(encoding="utf-8"))
    _run("mmdebstrap", "--mode=root", "--variant=minbase", "--components=main", f"--include={','.join(wanted)}",
         '--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-unsafe-io",
         *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT), SUITE, root, archive[0])


def _configure(root):
    etc = root / "etc"
    (etc / "mdadm" / "mdadm.conf").write_text(MDADM_CONF, encoding="utf-8")
    (etc / "fstab").write_text("", encoding="utf-8")
    for key in (etc / "ssh").glob("ssh_host_*"):
        key.unlink()
    for name, line in (("passwd", f"nova:x:{NOVA_UID}:{NOVA_UID}:Nova:/var/lib/nova:/bin/sh\n"), ("group", f"nova:x:{NOVA_UID}:\n"),
                       ("shadow", "nova:*:19000:0:99999:7:::\n")):
        with (etc / name).open("a", encoding="utf-8") as file:
            file.write(line)
    instances = root / "var" / "lib" / "nova" / "instances"
    instances.mkdir(parents=True)
    for path in (instances.parent, instances):
        os.chown(path, NOVA_UID, NOVA_UID)
    for unit in MASKED:
        link = etc / "systemd" / "system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    default = etc / "systemd" / "system" / "default.target"
    default.unlink(missing_ok=True)
    default.symlink_to("/lib/systemd/system/multi-user.target")


def closure(dependencies, wanted):
    """Modules in the order in which they are to be loaded. `dependencies` is the text of modules.dep."""
    needs = {}
    for line in dependencies.splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {Path(path).name.partition(".")[0].replace("-", "_"): path for path in needs}
    order = []
    for name in wanted:
        path = by_name[name.replace("-", "_")]
        # modules.dep names what a module needs in the reverse of the order in which it needs it.
        order += [m for m in (*reversed(needs[path]), path) if m not in order]
    return order


def _initrd(work, modules, target):
    tree = work / "initrd"
    for name in ("bin", "dev", "proc", "sys", "lower", "own", "root", "modules"):
        (tree / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", tree / "bin" / "busybox")
    for name in APPLETS:
        (tree / "bin" / name).symlink_to("busybox")
    order = closure((modules / "modules.dep").read_text(encoding="utf-8"), FIRST_MODULES)
    for path in order:
        shutil.copy(modules / path, tree / "modules")
    (tree / "modules" / "order").write_text("".join(f"{Path(p).name}\n" for p in order), encoding="utf-8")
    shutil.copy(HERE / "initrd_init.sh", tree / "init")
    (tree / "init").chmod(0o755)
    names = "".join(f"{p.relative_to(tree)}\n" for p in sorted(tree.rglob("*")))
    archive = subprocess.run(["/bin/busybox", "cpio", "-o", "-H", "newc"], cwd=tree, input=names.encode(),
                             capture_output=True, timeout=60, check=True).stdout
    target.write_bytes(gzip.compress(archive, 1))


def _run(*argv):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=BUILD_SECONDS, check=False,
                          stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise RuntimeError(f"{argv[0]}: exit {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
