"""A BMC says *off* while the host lives on and writes: it answers with its own host key, so the recovery is held, loudly, and
nobody touches its array: by the digests of its disks, no byte of them changes but by its own guests.

Where it answers nowhere, nobody could tell; here its network comes back between the shot and the look that follows it.
"""

from novalab import expect, takeover, wait
from novalab.uml import returning

# Several readings of *off*, this far apart, are the time in which its network comes back.
SHAPE = {"machines": "uml", "policy": {"off_read_pause": "3s"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600


def run(lab):
    takeover.published(lab, "compute1")
    written = takeover.writers(lab, "compute1")
    lab.lie_bmc("compute1")
    assert lab.power_reads("compute1") is False and lab.lives("compute1")
    lab.isolate("compute1")
    lab.wait_journal("compute1", "started", "fence", 120)
    lab.rejoin("compute1")
    incident = lab.wait_incident("compute1", "held", 60)
    assert "answers with its own host key" in incident.reason and "reading is false" in incident.reason, incident
    assert not incident.events("started", "take_storage") and not incident.events("finished", "fence"), incident
    shown = lab.admin("nova-ha", "status", check=False)
    assert shown.code == 3 and incident.id in shown.out and "HELD" in shown.out, shown
    call_again(lab)
    untouched(lab, written)
    no_byte_changes(lab)
    assert not any(expect.in_use(lab, node.name) for node in lab.ha_nodes), "nothing was taken, and an HA node is used up"
    assert lab.incident_of("compute1").state == "held"


def call_again(lab):
    """Nobody who is called again goes on either."""
    for node in lab.ha_nodes:
        lab.recover(node.name)


def untouched(lab, written):
    """The host has its array, by its own kernel and by the disks, and all that its guests write goes there and stays."""
    assert lab.lives("compute1") and not lab.evacuations()
    takeover.untaken(lab, "compute1", ["compute1"])
    for name in ("ha1", "ha2"):
        takeover.never_ran(lab, name)
    before = [writer.acknowledged() for writer in written]
    wait.until("its guests write on", lambda: all(w.acknowledged() > then + 50 for w, then in zip(written, before)), 30)
    assert all(writer.runs() for writer in written)
    for writer in written:
        writer.stop()
    takeover.whole(lab, "compute1", "compute1", written)


def no_byte_changes(lab):
    """Its own guests and its filesystem stand still, so that whatever changes on a member now, an HA node wrote."""
    returning.freeze(lab, "compute1", "compute1")
    left = lab.disks.digests("compute1")
    call_again(lab)
    # Each HA node's own sweep comes in this time too.
    wait.never("a byte of its disks changes", lambda: lab.disks.digests("compute1") != left, lab.shape.sweep_seconds + 2, 1)
    returning.thaw(lab, "compute1")
