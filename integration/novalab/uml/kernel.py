"""How a disk lab machine's kernel is started, and what can be said to it from outside while it runs."""

import os
import socket
import struct
import threading
from pathlib import Path

from novalab import paths

# The machine's root, its own disk, then shared ones; the driver has no more.
MOST_DISKS = 16
LETTERS = "abcdefghijklmnop"
# The kernel cuts a longer command line off without a word.
MOST_CHARACTERS = 4000
NETWORK, STORAGE = "tap0", "tap1"
MCONSOLE_MAGIC, MCONSOLE_VERSION = 0xCAFEBABE, 2


def letter(slot):
    """The letter of the block device behind the shared disk of a slot. Raises ValueError where there are too many."""
    if slot + 2 >= MOST_DISKS:
        raise ValueError(f"a machine can see {MOST_DISKS - 2} shared disks at most: fewer hosts, or fewer disks a host")
    return LETTERS[slot + 2]


def block_device(disk, state):
    """The words by which the kernel gets a shared disk: others write to it too (c), and trimming it is not possible (t)."""
    return f"ubd{disk['ubd']}tc={Path(disk['image']).relative_to(state)}"


def command(folder, spec, mac, storage_mac):
    """The command line of a machine's kernel. It runs in the run's state folder, so that paths are short."""
    machine = Path(folder)
    state = machine.parent.parent
    disks = [block_device(disk, state) for disk in spec["disks"] if disk["present"]]
    storage = [f"vec2:transport=tap,ifname={STORAGE},mac={storage_mac}"] if spec["storage_address"] else []
    words = [
        "/usr/bin/env", f"LD_PRELOAD={spec['preload']}",
        spec["kernel"], f"mem={spec['memory_mb']}M", f"umid={spec['name']}", f"uml_dir={machine / 'uml'}",
        f"initrd={spec['initrd']}", f"ubdar={spec['root']}", f"ubdbt={(machine / 'own.img').relative_to(state)}", *disks,
        f"vec0:transport=tap,ifname={NETWORK},mac={mac}", f"vec1:transport=tap,ifname={spec['lab_link']}", *storage,
        "con=null", "con0=null,fd:1", "ssl=null", "loglevel=6",
        f"lab.code={paths.INTEGRATION}", f"lab.folder={folder}",
    ]
    if sum(len(word) + 1 for word in words) > MOST_CHARACTERS:
        raise ValueError(f"the kernel's command line of {spec['name']} is too long: shorten the path of the clone")
    return words


def forget(folder, name):
    """Takes away what the kernel of an earlier boot left: every kernel here has the same pid, so that it would seem alive."""
    for left in (Path(folder) / "uml" / name).glob("*"):
        left.unlink()


def mconsole(folder, name, words, timeout=15.0):
    """Says something to the kernel itself, as a console's break key does; works while every process hangs.

    Raises OSError where the kernel does not answer.
    """
    control = os.path.join(folder, "uml", name, "mconsole")
    # A name in the file system: one without would be another network namespace's.
    ours = os.path.join(folder, "uml", f"answer-{os.getpid()}-{threading.get_ident()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        sock.bind(ours)
        try:
            data = words.encode()
            sock.sendto(struct.pack("=III512s", MCONSOLE_MAGIC, MCONSOLE_VERSION, len(data), data), control)
            answer = sock.recv(4096)
        finally:
            os.unlink(ours)
    failed, _, length = struct.unpack_from("=III", answer)
    text = answer[12:12 + length].decode("utf-8", "replace").strip("\0\n ")
    if failed:
        raise OSError(f"{words}: {text}")
    return text
