"""What scenarios of a takeover share: a host's array and what its guests wrote, while it has them and after an HA node took them.

What is said of disks is read from the disks, and of arrays from the kernels of all machines that see them.
"""

import json
import re
import time
from pathlib import Path

from novalab import expect, wait
from novalab.uml import superblock
from novalab.uml.guests import INSTANCES
from novalab.uml.inside import disks as inner

# Programs of the storage steps, and what stands in their place where a scenario kills `recover` in them.
PROGRAMS = ("/usr/sbin/mdadm", "/usr/bin/mount", "/usr/bin/umount", "/usr/bin/sg_persist")
KILLER = Path(inner.__file__).with_name("killer.sh")
MOMENTS = "/run/kill-recover"
# More than any scenario takes.
REST_SECONDS = 3600


def published(lab, host):
    """The record by which a host's storage is taken, complete: its arrays, the filesystems on them, and the boot guard's word."""
    record = json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{host}/internal/runtime_config"))
    for made in lab.arrays.all(host):
        array = record["md_arrays"][made["array"]]
        found = {(member["disk"], member.get("partition")) for member in array["members"]}
        assert found == {(lab.disks.wwn(host, bay), made["partition"]) for bay in made["bays"]}, array
    filesystems = {(fs["uuid"], fs["mountpoint"]) for fs in record["filesystems"]}
    assert filesystems == {(made["filesystem"], made["at"]) for made in lab.arrays.all(host)}, record
    assert record["boot_guard"] is True, record
    return record


def writers(lab, host, records=20):
    """A writer in each of a host's guests, once each has written so much."""
    found = [lab.arrays.write(host, guest) for guest in lab.arrays.guests(host)]
    wait.until("every guest has written", lambda: all(writer.acknowledged() >= records for writer in found), 60)
    return found


def untaken(lab, host, by=()):
    """Nobody has the host's array but itself, or those named, and it carries the name that the host gave it."""
    assert lab.arrays.holders(host) == list(by), f"the array of {host} runs on {lab.arrays.holders(host)}"
    assert superblock.names(lab, host) == {f"{host}:guests"}, superblock.of_host(lab, host)


def never_ran(lab, machine):
    """No array was active in this boot of a machine, by its kernel's own log."""
    said = lab.machine(machine).exec("dmesg", "--color=never", check=True).out
    found = [line for line in said.splitlines() if "md/raid" in line or "XFS (md" in line]
    assert not found, f"on {machine}: {found}"


def ran_at(lab, machine):
    """When an array was active for the first time in this boot of a machine, writable or not, by its kernel's own log (seconds since the epoch)."""
    said = lab.machine(machine).exec("sh", "-c", "cat /proc/uptime; dmesg --color=never", check=True).out.splitlines()
    now, uptime = time.time(), float(said[0].split()[0])
    stamps = [re.match(r"\[\s*([\d.]+)\] md/raid\S* active with", line) for line in said[1:]]
    return now - uptime + min(float(stamp[1]) for stamp in stamps if stamp)


def mark(node, name="guests"):
    """The name of an array that an HA node has."""
    return f"nova-ha.{node}:{name}"


def taken(lab, host, node, written=()):
    """The HA node alone has the host's array, marked as its own and mounted, with all that its guests were told is written."""
    assert lab.arrays.holders(host) == [node], f"the array of {host} runs on {lab.arrays.holders(host)}, not on {node} alone"
    names = {found.name for found in current(lab, host).values()}
    assert names == {mark(node)}, superblock.of_host(lab, host)
    mdstat = lab.machine(node).read_file("/proc/mdstat")
    assert ("bitmap:" in mdstat) == lab.shape.bitmap, mdstat
    mounts = lab.machine(node).read_file("/proc/mounts")
    assert sum(line.split()[1:3] == [INSTANCES, "xfs"] for line in mounts.splitlines()) == 1, mounts
    source = lab.machine(node).exec("blkid", "-p", "-s", "UUID", "-o", "value", device(lab, node), check=True).out.strip()
    assert source == lab.arrays.filesystem(host), f"{source} is mounted on {node}"
    assert expect.in_use(lab, node), f"{node} has the storage of {host} and is free"
    whole(lab, host, node, written)


def whole(lab, host, node, written=()):
    """Every guest's disk is as it was made, and every record that a writer acknowledged is on it; read from disk."""
    assert lab.arrays.wrong(node, host) == []
    for writer in written:
        found = lab.arrays.last_record(node, writer.guest)
        assert found >= writer.acknowledged(), \
            f"record {writer.acknowledged()} of {writer.guest} was acknowledged, the last that is there is {found}"


def current(lab, host):
    """The members of the host's array that were not given up: `{bay: superblock}`; of a replaced disk there is none."""
    found = {bay: member for bay, member in superblock.of_host(lab, host).items()
             if member and member.array == lab.arrays.array(host)}
    newest = max(member.events for member in found.values())
    # mdadm takes two members that are one event apart; see members.rs.
    return {bay: member for bay, member in found.items() if member.events + 1 >= newest}


def device(lab, node):
    """What is mounted where the guests are, on a machine."""
    return lab.machine(node).exec("findmnt", "-n", "-o", "SOURCE", INSTANCES, check=True).out.strip()


def goes_on(lab, host, node):
    """Guests can write on where they are now: one does, and it is on the disk."""
    writer = lab.arrays.write(host, lab.arrays.guests(host)[0], machine=node)
    wait.until("a guest writes on", lambda: writer.acknowledged() > 0, 30)
    before = writer.acknowledged()
    wait.until("and on", lambda: writer.acknowledged() >= before + 20, 30)
    writer.stop()
    whole(lab, host, node, [writer])


def writes_no_superblock_at_rest(lab, host):
    """The host's md keeps its array marked as written to, however long its guests rest: it writes a superblock only where it
    loses a member."""
    name = Path(device(lab, host)).name
    lab.machine(host).exec("sh", "-c", f"echo {REST_SECONDS} >/sys/block/{name}/md/safe_mode_delay", check=True)


def turn(lab, node, *words):
    """`nova-ha-recover` on an HA node, once it has its turn there: the periodic sweep may be at it in this moment."""
    def ran():
        done = lab.recover(node, *words)
        return None if "another nova-ha-recover runs here" in done.out + done.err else done

    return wait.until(f"nova-ha-recover has its turn on {node}", ran, 60, 1)


def waits(lab, node, *words):
    """What `nova-ha-recover` says on an HA node where something waits for a person or for time (exit 3), in one line."""
    done = turn(lab, node, *words)
    assert done.code == 3, done
    return " ".join((done.out + done.err).split())


def install_killer(lab, node):
    """From now on `kill_at` counts on this HA node."""
    machine = lab.machine(node)
    for program in PROGRAMS:
        machine.exec("mv", program, f"{program}.real", check=True)
        machine.install_file(program, KILLER.read_bytes(), 0o755)
    machine.exec("mkdir", MOMENTS, check=True)


def kill_at(lab, node, when, effect, *words):
    """The next `recover` (with these words) on this HA node is killed before the effect, or while it happens; what it had begun
    is over then."""
    machine = lab.machine(node)
    moment = f"{MOMENTS}/{when}-{effect}"
    machine.install_file(moment, "")
    # Before an effect it may look twice at what another kill left, some seconds apart.
    done = lab.recover(node, *words, timeout=120)
    assert machine.exec("test", "-e", moment).code == 1, f"{effect} was not come to: {done}"
    assert done.code in (-9, 137), f"it was not killed {when} {effect}: {done}"
    # What stands in a program's place kills first, and is the program itself a moment later.
    pid = int(machine.read_file(f"{MOMENTS}/killer"))
    wait.until("what it had begun is over", lambda: machine.exec("test", "-e", f"/proc/{pid}").code == 1, 30)
