"""The partition table of a shared disk, written before any machine has seen it: of the DOS kind, with two partitions of one size.

A machine that is up does not see a table that another one writes, on no kernel.
"""

import os
import struct

SECTOR = 512
# Both begin at whole MiB, as every tool of today has it.
ALIGNED = 1 << 20
TABLE, SIGNATURE = 446, b"\x55\xaa"
LINUX_RAID = 0xFD
# Status, first sector in a form of long ago, type, last one likewise, first sector and number of sectors.
ENTRY = struct.Struct("<B3sB3sII")
NUMBERS = (1, 2)


def write(image):
    """Writes the table into a blank image."""
    size = _size(os.stat(image).st_size)
    entries = b"".join(ENTRY.pack(0, b"\xfe\xff\xff", LINUX_RAID, b"\xfe\xff\xff", _start(number, size) // SECTOR, size // SECTOR)
                       for number in NUMBERS)
    with open(image, "r+b") as file:
        file.seek(TABLE)
        file.write(entries.ljust(SECTOR - TABLE - len(SIGNATURE), b"\0") + SIGNATURE)


def start(image, number):
    """Where a partition (1..) begins, in bytes."""
    return _start(number, _size(os.stat(image).st_size))


def _size(total):
    return (total - ALIGNED) // len(NUMBERS) // ALIGNED * ALIGNED


def _start(number, size):
    return ALIGNED + (number - 1) * size
