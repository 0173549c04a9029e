"""How a disk lab machine's kernel is started, and what can be said to it from outside while it runs."""

import os
import socket
import struct
from pathlib import Path

from novalab import paths

# The machine's root, its own disk, then shared ones; the driver has no more.
MOST_DISKS = 16
LETTERS = "abcdefghijklmnop"
# The kernel cuts a longer command line off without a word.
MOST_CHARACTERS = 4000
NETWORK = "tap0"
MCONSOLE_MAGIC, MCONSOLE_VERSION = 0xCAFEBABE, 2


def letter(slot):
    """The letter of the block device behind the shared disk of a slot. Raises ValueError where there are too many."""
    if slot + 2 >= MOST_DISKS:
        raise ValueError(f"a machine can see {MOST_DISKS - 2} shared disks at most: fewer hosts, or fewer disks a host")
    return LETTERS[slot + 2]


def command(folder, spec, mac):
    """The command line of a machine's kernel. It runs in the run's state folder, so that paths are short."""
    machine = Path(folder)
    state = machine.parent.parent
    disks = [f"ubd{disk['ubd']}tc={Path(disk['image']).relative_to(state)}" for disk in spec["disks"]]
    words = [
        spec["kernel"], f"mem={spec['memory_mb']}M", f"umid={spec['name']}", f"uml_dir={machine / 'uml'}",
        f"initrd={spec['initrd']}", f"ubdar={spec['root']}", f"ubdbt={(machine / 'own.img').relative_to(state)}", *disks,
        f"vec0:transport=tap,ifname={NETWORK},mac={mac}", f"vec1:transport=tap,ifname={spec['lab_link']}",
        "con=null", "con0=null,fd:1", "ssl=null", "loglevel=6",
        f"lab.code={paths.INTEGRATION}", f"lab.folder={folder}",
    ]
    if sum(len(word) + 1 for word in words) > MOST_CHARACTERS:
        raise ValueError(f"the kernel's command line of {spec['name']} is too long: shorten the path of the clone")
    return words


def mconsole(folder, name, words, timeout=2.0):
    """Says something to the kernel itself, as a console's break key does; works while every process hangs.

    Raises OSError where the kernel does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(timeout)
        # An abstract address of our own, to be answered at.
        sock.bind("")
        data = words.encode()
        # The path of a socket is short; a folder of the run may not be.
        here = os.open(os.path.join(folder, "uml", name), os.O_RDONLY | os.O_DIRECTORY)
        try:
            sock.sendto(struct.pack("=III512s", MCONSOLE_MAGIC, MCONSOLE_VERSION, len(data), data), f"/proc/self/fd/{here}/mconsole")
            failed, _, length, answer = struct.unpack("=III512s", sock.recv(4096)[:524])
        finally:
            os.close(here)
    text = answer[:length].decode("utf-8", "replace").strip("\0\n ")
    if failed:
        raise OSError(f"{words}: {text}")
    return text
