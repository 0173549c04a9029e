"""A BMC says *off* while the host lives on, writes, and answers nowhere. Its disks tell: those that its array can lose are
reserved for the HA node that takes them, and refuse what the host writes; its md gives them up and writes that on the others. It
is held, no guest is sent anywhere, and its guests write on.

Once a person has pulled the plug and resumes, every record that a guest was told is written is there. Given back, the disks are
nobody's, and the host has its array again.
"""

from novalab import expect, takeover, wait
from novalab.uml import reservations, returning, superblock

# All disks are reserved within a part of the lock-delay; a program takes its time to start there.
SHAPE = {"machines": "uml", "shelf": True, "policy": {"lock_delay": "15s"}}
TIME_LIMIT = 600
HOST = "compute1"
# What an HA node's key begins with.
OURS = 0x6E68
WRITE = ("dd", "if=/dev/zero", "bs=4096", "count=1", "oflag=direct", "conv=notrunc")


def run(lab):
    takeover.published(lab, HOST)
    written = takeover.writers(lab, HOST)
    # Else it may be seen before its disks are reserved.
    takeover.writes_no_superblock_at_rest(lab, HOST)
    lab.lie_bmc(HOST)
    assert lab.lives(HOST)
    lab.isolate(HOST)
    incident = lab.wait_incident(HOST, "held", 180)
    node = incident.holder
    assert "it lives" in incident.reason and "2 disks reserved" in incident.reason, incident
    assert lab.lives(HOST) and not lab.evacuations(), "its guests run there"
    assert lab.arrays.holders(HOST) == [HOST] and takeover.mark(node) not in superblock.names(lab, HOST)
    refused(lab, node)
    writes_on(lab, written)
    lab.cut(HOST)
    lab.admin("nova-ha", "incident", "resume", incident.id, "--by", "ann")
    incident = expect.recovered(lab, HOST, 180)
    node = incident.holder
    reserved_for(lab, node)
    assert lab.arrays.holders(HOST) == [node]
    assert {member.name for member in takeover.current(lab, HOST).values()} == {takeover.mark(node)}, superblock.of_host(lab, HOST)
    takeover.whole(lab, HOST, node, written)
    takeover.goes_on(lab, HOST, node)
    given_back(lab, node, written)


def says(lab, name):
    """What each of the host's disks keeps of who may write to it, asked on a machine."""
    return [reservations.of(lab.machine(name), lab.disks.by_id(HOST, bay)) for bay in lab.disks.bays(HOST)]


def reserved_for(lab, node):
    """Each disk, by a key that says that it is an HA node's, and so that nobody else writes, registered or not."""
    for said in says(lab, node):
        assert (list(said.keys), said.holder, said.type) == ([node], node, "Write Exclusive"), said
        assert said.keys[node] >> 48 == OURS, f"{said.keys[node]:#x}"


def refused(lab, node):
    """Of each mirror one disk refuses the host, also past md and its filesystem, and nobody else has assembled anything."""
    bays = [bay for bay, said in zip(lab.disks.bays(HOST), says(lab, node)) if said.holder == node]
    assert len(bays) == 2, says(lab, node)
    left = digests(lab, bays)
    for bay in bays:
        done = lab.machine(HOST).exec(*WRITE, f"of={lab.disks.by_id(HOST, bay)}", timeout=30)
        assert done.code != 0 and "Invalid exchange" in done.err, done
    wait.never("a byte of them changes", lambda: digests(lab, bays) != left, 5, 1)


def digests(lab, bays):
    found = lab.disks.digests(HOST)
    return {bay: found[bay] for bay in bays}


def writes_on(lab, written):
    """Its guests have noticed nothing."""
    before = [writer.acknowledged() for writer in written]
    wait.until("its guests write on", lambda: all(w.acknowledged() > then + 50 for w, then in zip(written, before)), 30)


def given_back(lab, node, written):
    """On a person's order."""
    assert returning.moved_off(lab, node, "compute2")
    done = lab.product(node, "nova-ha-recover", HOST, "--release-storage", "--yes", HOST, "--by", "ann")
    assert done.code == 0, done
    takeover.untaken(lab, HOST)
    assert not expect.in_use(lab, node) and says(lab, node) == [reservations.Reserved({})] * 4
    lab.power_on(HOST)
    lab.machine(HOST).wait_up()
    lab.arrays.assemble(HOST, HOST)
    takeover.whole(lab, HOST, HOST, written)
    takeover.goes_on(lab, HOST, HOST)
