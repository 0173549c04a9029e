"""Persistent reservations of the shared disks, as sg_persist makes and reads them: in a shelf they are everybody's.

    reservations.ask(machine, disk, "--out", "--register", "--param-sark=0xa1")
    reservations.of(machine, disk).keys["ha1"]
"""

import re
from dataclasses import dataclass

# Types: writes of others than the holder, or than all that are registered, are refused.
WRITE_EXCLUSIVE, REGISTRANTS_WRITE = 1, 5
# How sg_persist ends where a reservation or a key is in the way.
CONFLICT = 24
# How it ends where the disk has something to tell first: that a reservation was preempted or cleared by another machine.
ATTENTION = 6
MOST_TOLD = 4
DESCRIPTOR = re.compile(r"Key=(0x[0-9a-f]+)(.*?):([^:,\s]+),i,0x[0-9a-f]+", re.DOTALL)
TYPE = re.compile(r"type: (.*)")


@dataclass(frozen=True)
class Reserved:
    """What a disk says: the keys of the machines that are registered (`{name: key}`), and who holds it by which type."""

    keys: dict
    holder: object = None
    type: object = None


def ask(machine, disk, *words):
    """What sg_persist says on a machine, once the disk has told what came before; `conflict` is one of its ends."""
    for _ in range(MOST_TOLD):
        done = machine.exec("sg_persist", "-n", *words, disk, timeout=30)
        if done.code != ATTENTION:
            break
    assert done.code in (0, CONFLICT), f"on {machine.name}: {done}"
    return done


def register(machine, disk, key):
    """The machine is registered with this key, whatever it was registered with before."""
    _done(machine, ask(machine, disk, "--out", "--register-ignore", f"--param-sark={key:#x}"))


def reserve(machine, disk, key, kind=REGISTRANTS_WRITE):
    """The machine, which is registered with the key, holds the disk."""
    _done(machine, ask(machine, disk, "--out", "--reserve", f"--param-rk={key:#x}", f"--prout-type={kind}"))


def preempt(machine, disk, key, other, kind=REGISTRANTS_WRITE):
    """The machine takes the disk from those that are registered with another key; what they had asked for is aborted."""
    _done(machine, ask(machine, disk, "--out", "--preempt-abort", f"--param-rk={key:#x}", f"--param-sark={other:#x}",
                       f"--prout-type={kind}"))


def clear(machine, disk, key):
    """Nobody is registered any more."""
    _done(machine, ask(machine, disk, "--out", "--clear", f"--param-rk={key:#x}"))


def of(machine, disk):
    """What the disk says, asked on a machine."""
    done = ask(machine, disk, "--in", "--read-full-status")
    _done(machine, done)
    return parse(done.out)


def parse(text):
    """What READ FULL STATUS says."""
    keys, holder, kind = {}, None, None
    for key, about, name in DESCRIPTOR.findall(text):
        keys[name] = int(key, 16)
        if "<< Reservation holder >>" in about:
            holder, kind = name, TYPE.search(about)[1].strip()
    return Reserved(keys, holder, kind)


def _done(machine, done):
    assert done.code == 0, f"on {machine.name}: {done}"
