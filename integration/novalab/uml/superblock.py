"""What md wrote on a disk, read from the file outside: whose the array is by its name, and how often it was written.

Version 1.2, which has its superblock 4 KiB after the disk's beginning (linux/raid/md_p.h).
"""

import struct
from dataclasses import dataclass

from novalab.uml import partitions

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


def read(image, partition=None):
    """The superblock of the disk that a file holds, or of a partition of it; None where it has none."""
    with open(image, "rb") as file:
        file.seek(OFFSET + (partitions.start(image, partition) if partition else 0))
        return parse(file.read(BYTES))


def of_host(lab, host, number=0):
    """`{bay: superblock}` of the members of a host's array, of those that it has, as they lie outside now."""
    array = lab.arrays.all(host)[number]
    return {bay: read(lab.disks.image(host, bay), array["partition"]) for bay in array["bays"]}


def names(lab, host, number=0):
    """The names that these carry: one where all is well."""
    return {found.name for found in of_host(lab, host, number).values() if found}
