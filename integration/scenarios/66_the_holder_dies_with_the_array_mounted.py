"""The HA node that recovers a host is cut off with the host's array mounted: another one adopts, powers it off first, and only
then takes the array; its data is whole, and the guests run there.

The first HA node lives and writes on until its BMC cuts it: nothing but that keeps two machines from one filesystem.
"""

from novalab import events, expect, paths, takeover, wait

SHAPE = {"machines": "uml", "bitmap": True}
MAY_BE_SHOT = ["compute1", "ha1", "ha2"]
TIME_LIMIT = 800


def run(lab):
    takeover.published(lab, "compute1")
    first = takeover.writers(lab, "compute1")
    # So that there is time between the mount and the first evacuation.
    lab.cloud.fault(method="GET", path="os-services", action="delay", seconds=3, count=100)
    lab.cut("compute1")
    taken = lab.wait_journal("compute1", "finished", "take_storage", 300)
    holder, other = taken.holder, {"ha1": "ha2", "ha2": "ha1"}[taken.holder]
    lab.isolate(holder)
    lab.cloud.heal()
    assert not lab.evacuations(), "too late: a guest was on its way already"
    takeover.taken(lab, "compute1", holder, first)
    second = [lab.arrays.write("compute1", guest, machine=holder) for guest in lab.arrays.guests("compute1")]
    wait.until("the HA node that is cut off writes", lambda: all(writer.acknowledged() > 20 for writer in second), 30)

    incident = expect.adopted(lab, "compute1", holder, 150)
    assert incident.holder == other, incident
    incident = expect.recovered(lab, "compute1", 120)
    assert not lab.is_powered(holder) and not any(writer.runs() for writer in second)
    fenced_before_it_was_taken(lab, incident, holder)
    takeover.taken(lab, "compute1", other, [*first, *second])
    takeover.goes_on(lab, "compute1", other)
    is_kept_from_its_guests(lab, holder, other)


def is_kept_from_its_guests(lab, holder, other):
    """The HA node that was cut boots without what it took: its nova-compute must not make the guests' disks anew."""
    program = (paths.REPO / "consul-watches/taken-storage-is-here").read_bytes()
    for name in (holder, other):
        if name == holder:
            lab.rejoin(name)
            lab.power_on(name)
            lab.machine(name).wait_up()
        lab.machine(name).install_file("/usr/bin/taken-storage-is-here", program, 0o755)
    here, gone = (lab.machine(name).exec("taken-storage-is-here") for name in (other, holder))
    assert here.code == 0, here
    assert gone.code == 1 and lab.arrays.array("compute1") in gone.err and "does not run here" in gone.err, gone


def fenced_before_it_was_taken(lab, incident, holder):
    """The journal says so, before and after, and the power was really off before the array came up elsewhere."""
    kinds = [entry["what"]["event"] for entry in incident.journal]
    assert kinds.index("fencing_holder") < kinds.index("holder_fenced"), kinds
    # Once in each run of the adopter: one that ends early is gone on with by the next, which may find the power off already.
    runs = sum(entry["what"]["event"] == "adopted" and entry["by"] == incident.holder for entry in incident.journal)
    fencing, (fenced,) = incident.events("fencing_holder"), incident.events("holder_fenced")
    assert 1 <= len(fencing) <= runs and {event["node"] for event in (*fencing, fenced)} == {holder}, (runs, fencing, fenced)
    assert fenced["outcome"] == "changed" or runs > 1, (runs, fenced)
    shots = lab.shots(holder)
    assert shots, f"{holder} was not shot"
    off = [event["at"] for event in events.read(lab.state, "off") if event["machine"] == holder]
    assert len(off) == 1 and off[0] < takeover.ran_at(lab, incident.holder), (off, takeover.ran_at(lab, incident.holder))
