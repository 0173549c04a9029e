"""What md wrote on a disk, read from the file outside: whose the array is by its name, and how often it was written.

Version 1.2, which has its superblock 4 KiB after the disk's beginning (linux/raid/md_p.h).
"""

import struct
from dataclasses import dataclass

OFFSET, BYTES = 4096, 256
MAGIC = 0xA92B4EFC
# magic, major version, feature map, pad, array UUID, name.
HEAD = struct.Struct("<4I16s32s")
# Elsewhere in it: utime (microseconds in the upper bits), events, resync offset (all ones: in sync).
UPDATED, EVENTS, RESYNC = (192, "<Q"), (200, "<Q"), (208, "<Q")
IN_SYNC = (1 << 64) - 1


@dataclass(frozen=True)
class Superblock:
    """Of one member."""

    array: str
    name: str
    events: int
    updated: int
    in_sync: bool


def parse(data):
    """The superblock that the bytes are; None where they are none."""
    magic, major, _, _, array, name = HEAD.unpack_from(data)
    if (magic, major) != (MAGIC, 1):
        return None
    updated, events, resync = (struct.unpack_from(form, data, at)[0] for at, form in (UPDATED, EVENTS, RESYNC))
    digits = array.hex()
    uuid = ":".join(digits[at:at + 8] for at in range(0, 32, 8))
    return Superblock(uuid, name.split(b"\0")[0].decode("utf-8", "replace"), events, updated, resync == IN_SYNC)


def read(image):
    """The superblock of the disk that a file holds; None where it has none."""
    with open(image, "rb") as file:
        file.seek(OFFSET)
        return parse(file.read(BYTES))


def of_host(lab, host):
    """`{bay: superblock}` of a host's disks, as they lie outside now."""
    return {bay: read(lab.disks.image(host, bay)) for bay in lab.disks.bays(host)}


def names(lab, host):
    """The names that the members of a host's array carry: one where all is well."""
    return {found.name for found in of_host(lab, host).values() if found}
