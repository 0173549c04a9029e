"""Consul is restored from a backup of before the incident while an HA node has the host's array mounted: nobody takes it a second
time, that HA node does nothing beside such a tree, and the host that comes back is kept from its disks by what they say.

The guests write all the time, and lose nothing. Given back on a person's order, the array is the host's own again.
"""

from novalab import expect, takeover, wait

SHAPE = {"machines": "uml"}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600
HOST = "compute1"
# Of the boot guard there: whose its storage is.
STORAGE = ("--host", HOST, "--for", "storage")


def run(lab):
    takeover.published(lab, HOST)
    backup = lab.state / "backup.snap"
    lab.consul.save(backup)
    written = takeover.writers(lab, HOST)
    lab.cut(HOST)
    incident = expect.recovered(lab, HOST, 150)
    holder, other = incident.holder, {"ha1": "ha2", "ha2": "ha1"}[incident.holder]
    takeover.taken(lab, HOST, holder, written)
    guest = lab.arrays.guests(HOST)[0]
    writer = lab.arrays.write(HOST, guest, machine=holder)

    lab.restore_consul(backup)
    wait.until("Consul answers again", lambda: lab.consul.leader() and lab.flag(HOST, "failed") is False, 30)
    assert not expect.in_use(lab, holder) and lab.incident_of(HOST) is None, "the tree has not forgotten it"
    the_holder_refuses(lab, holder)
    nobody_else_takes_it(lab, holder, other)
    the_host_is_kept_from_it(lab, holder)
    before = writer.acknowledged()
    wait.until("the guests write on", lambda: writer.acknowledged() > before + 20, 30)
    writer.stop()
    takeover.whole(lab, HOST, holder, [*written, writer])
    takeover.never_ran(lab, other)
    given_back(lab, holder, [*written, writer])


def the_holder_refuses(lab, holder):
    """The HA node remembers what it took, and says what it misses in the tree."""
    said = takeover.waits(lab, holder)
    assert f"{holder} took the storage of {HOST}" in said and "was Consul restored from a snapshot" in said, said


def nobody_else_takes_it(lab, holder, other):
    """For the tree the host is dead and its storage free: it is marked again, and the disks say whose they are."""
    lab.wait_incident(HOST, "waiting", 120)
    said = takeover.waits(lab, other)
    assert f"HA node {holder} has it" in said, said
    for node in lab.ha_nodes:
        lab.recover(node.name)
    assert lab.arrays.holders(HOST) == [holder]
    assert not lab.incident_of(HOST).events("claimed") and not lab.shots(HOST), lab.incident_of(HOST)


def the_host_is_kept_from_it(lab, holder):
    """It comes back by itself; a person abandons its incident and resets it, and still its guard does not say *mine*."""
    lab.power_on(HOST)
    lab.machine(HOST).wait_up()
    lab.wait_for_agent(HOST)
    done = expect.guard_says(lab, HOST, *STORAGE)
    assert done.code == 3 and "not its own" in done.out, done
    # No HA node may claim it, so nobody withdraws it either: a person ends it.
    incident = lab.incident_of(HOST).id
    lab.admin("nova-ha", "incident", "abandon", incident, "--by", "maria", "--yes", HOST)
    lab.wait_observed()
    lab.admin("nova-ha", "reset", HOST, "--by", "maria", "--yes", HOST)
    assert lab.flag(HOST, "failed") is False
    done = expect.guard_says(lab, HOST, *STORAGE)
    assert done.code == 3 and f"HA node {holder} has" in done.out, done
    assert lab.arrays.holders(HOST) == [holder]


def given_back(lab, holder, written):
    """Once no guest is on the HA node, its own memory is enough to give it back, and the guard says *mine*."""
    order = (HOST, "--release-storage", "--yes", HOST, "--by", "maria")
    refused = takeover.waits(lab, holder, *order)
    assert "guests are on" in refused, refused
    for name, guest in lab.guests().items():
        if guest["host"] == holder:
            lab.cloud.set_guests({"name": name, "deleted": True})
    done = takeover.turn(lab, holder, *order)
    assert done.code == 0, done
    takeover.untaken(lab, HOST)
    done = expect.guard_says(lab, HOST, *STORAGE)
    assert done.code == 0, done
    lab.arrays.assemble(HOST, HOST)
    takeover.whole(lab, HOST, HOST, written)
