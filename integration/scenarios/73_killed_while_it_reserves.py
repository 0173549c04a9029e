"""A BMC says *off* while the host lives on, writes, and answers nowhere, and `recover` is killed when it has reserved one of its
disks: the host's md gives that one up and goes on with the others, enough of them for an HA node to go on with too. Run again,
`recover` knows from the journal how the disks were before: it is held, no guest is sent anywhere, and nothing that they wrote is lost.
"""

from novalab import expect, takeover, wait
from novalab.uml import reservations, superblock

# All disks are reserved within a part of the lock-delay; a program takes its time to start there. With the default of 60 s the
# lock of the killed HA node stays closed for longer, and each run would wait in its proof of *off*: both save time only.
SHAPE = {"machines": "uml", "shelf": True, "policy": {"off_read_pause": "200ms", "lock_delay": "15s"}}
TIME_LIMIT = 600
HOST, NODE = "compute1", "ha1"


def run(lab):
    takeover.published(lab, HOST)
    written = takeover.writers(lab, HOST)
    takeover.writes_no_superblock_at_rest(lab, HOST)
    for node in lab.ha_nodes:
        lab.stop_recoveries(node.name)
    takeover.install_killer(lab, NODE)
    lab.lie_bmc(HOST)
    assert lab.lives(HOST)
    lab.isolate(HOST)
    lab.wait_incident(HOST, timeout=120)
    takeover.kill_at(lab, NODE, "meanwhile", "reserve")
    one_is_given_up(lab)
    for _ in range(2):
        is_held(lab)
    writes_on(lab, written)
    lab.cut(HOST)
    lab.admin("nova-ha", "incident", "resume", lab.incident_of(HOST).id, "--by", "ann")
    done = takeover.turn(lab, NODE)
    assert done.code == 0, done
    expect.recovered(lab, HOST, 10)
    assert lab.arrays.holders(HOST) == [NODE]
    takeover.whole(lab, HOST, NODE, written)
    takeover.goes_on(lab, HOST, NODE)
    takeover.never_ran(lab, "ha2")


def holders(lab):
    """Who has reserved each of the host's disks."""
    return [reservations.of(lab.machine(NODE), lab.disks.by_id(HOST, bay)).holder for bay in lab.disks.bays(HOST)]


def one_is_given_up(lab):
    """The host's md has lost the member that was reserved, and wrote that to the three others."""
    assert sorted(map(str, holders(lab))) == sorted(["None", "None", "None", NODE]), holders(lab)
    wait.until("md has given one up", lambda: len(takeover.current(lab, HOST)) == 3, 30)


def is_held(lab):
    """By what the journal says of the disks; nothing more of them is reserved, marked or assembled."""
    takeover.turn(lab, NODE)
    incident = lab.incident_of(HOST)
    assert incident.is_at("held") and "it lives" in incident.reason, incident
    assert "written after they were looked at" in incident.reason, incident
    assert lab.lives(HOST) and not lab.evacuations(), "its guests run there"
    assert lab.arrays.holders(HOST) == [HOST] and takeover.mark(NODE) not in superblock.names(lab, HOST)
    assert holders(lab).count(None) == 3, holders(lab)


def writes_on(lab, written):
    """Its guests have noticed nothing."""
    before = [writer.acknowledged() for writer in written]
    wait.until("its guests write on", lambda: all(w.acknowledged() > then + 50 for w, then in zip(written, before)), 30)
