"""Stands for a guest that writes to its disk and must never lose what it was told is written.

    writer.py write PATH OFFSET      appends numbered records after OFFSET, each on the disk before its number is printed
    writer.py check PATH OFFSET      prints the number of the last record up to which none is missing or spoilt
"""

import os
import sys
import zlib

RECORD = 32


def record(number):
    """The record with this number: 32 bytes that say which they are."""
    words = f"{number:012d}"
    return f"{words} {zlib.crc32(words.encode()):08x} guest-data".encode()[:RECORD - 1].ljust(RECORD - 1) + b"\n"


def write(path, offset):
    """Writes until it is killed; goes on after the records that are there."""
    number = check(path, offset)
    descriptor = os.open(path, os.O_RDWR)
    while True:
        number += 1
        os.pwrite(descriptor, record(number), offset + (number - 1) * RECORD)
        os.fsync(descriptor)
        print(number, flush=True)


def check(path, offset):
    """The number of the last good record in order."""
    number = 0
    with open(path, "rb") as file:
        file.seek(offset)
        while file.read(RECORD) == record(number + 1):
            number += 1
    return number


if __name__ == "__main__":
    if sys.argv[1] == "check":
        print(check(sys.argv[2], int(sys.argv[3])))
    else:
        write(sys.argv[2], int(sys.argv[3]))
