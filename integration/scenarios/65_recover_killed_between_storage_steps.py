"""`recover` is killed before and in the middle of each thing that it does to the disks, while it takes them and while it gives them
back; run again each time, it goes on from what it finds, and ends with one mount, one mark and all data, and with none.

The killed program is the real one, and what it had begun (assembling, stopping, mounting) is done by nobody's order then.
"""

from novalab import expect, takeover
from novalab.uml import returning, superblock

# The pause saves time only: twenty runs prove the host off, each with two pauses of 1 s by default.
SHAPE = {"machines": "uml", "policy": {"off_read_pause": "200ms"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 800
HOST, NODE = "compute1", "ha1"
# In an order in which each is come to. A look assembles without writing, and the mark is written with the assembly.
KILLS = (("before", "look"), ("meanwhile", "look"), ("before", "stop"), ("meanwhile", "stop"),
         ("before", "reserve"), ("meanwhile", "reserve"), ("before", "take"), ("meanwhile", "take"), ("before", "mount"), ("meanwhile", "mount"))
# The name is written with an assembly that is stopped again.
KILLS_BACK = (("before", "unmount"), ("meanwhile", "unmount"), ("before", "stop"), ("meanwhile", "stop"),
              ("before", "rename"), ("meanwhile", "rename"), ("before", "stop"), ("meanwhile", "stop"))
RELEASE = (HOST, "--release-storage", "--yes", HOST, "--by", "ann")


def run(lab):
    written = taken(lab)
    takeover.goes_on(lab, HOST, NODE)
    given_back(lab)
    lab.power_on(HOST)
    lab.machine(HOST).wait_up()
    lab.arrays.assemble(HOST, HOST)
    takeover.whole(lab, HOST, HOST, written)
    takeover.never_ran(lab, "ha2")


def taken(lab):
    """By an HA node that is killed again and again; returns the guests' writers, which died with the host."""
    takeover.published(lab, HOST)
    written = takeover.writers(lab, HOST)
    for node in lab.ha_nodes:
        lab.stop_recoveries(node.name)
    takeover.install_killer(lab, NODE)
    lab.cut(HOST)
    left, is_marked = lab.disks.digests(HOST), False
    lab.wait_incident(HOST, timeout=90)
    for when, effect in KILLS:
        takeover.kill_at(lab, NODE, when, effect)
        held = lab.arrays.holders(HOST)
        assert set(held) <= {NODE}, held
        marks = superblock.names(lab, HOST)
        is_marked = is_marked or (when, effect) == ("meanwhile", "take")
        # A look, however it ends, writes nothing.
        assert is_marked or lab.disks.digests(HOST) == left, f"a byte of the disks changed by the kill {when} {effect}"
        assert marks == {takeover.mark(NODE) if is_marked else f"{HOST}:guests"}, (when, effect, marks)
        assert not lab.evacuations(), f"a guest was sent while its disk was not there, after the kill {when} {effect}"
    done = lab.recover(NODE)
    assert done.code == 0, done
    incident = expect.recovered(lab, HOST, 10)
    takeover.taken(lab, HOST, NODE, written)
    adoptions = incident.events("adopted")
    # A resume that wrote nothing more is replaced by the next one: the term counts them all.
    terms = max(entry["term"] for entry in incident.journal)
    assert terms == len(KILLS) + 1 and all("same_node" in str(a["ground"]) for a in adoptions), (terms, adoptions)
    assert len(incident.events("finished", "take_storage")) == 1, incident.journal
    assert len(lab.evacuations()) == len(lab.arrays.guests(HOST)), lab.evacuations()
    return written


def given_back(lab):
    """On a person's order, by the same HA node, which is killed as often."""
    assert returning.moved_off(lab, NODE, "compute2")
    is_named = False
    for when, effect in KILLS_BACK:
        takeover.kill_at(lab, NODE, when, effect, *RELEASE)
        held = lab.arrays.holders(HOST)
        assert set(held) <= {NODE}, held
        is_named = is_named or (when, effect) == ("meanwhile", "rename")
        marks = superblock.names(lab, HOST)
        assert marks == {f"{HOST}:guests" if is_named else takeover.mark(NODE)}, (when, effect, marks)
        assert expect.in_use(lab, NODE), f"{NODE} is free after the kill {when} {effect}"
    done = lab.recover(NODE, *RELEASE)
    assert done.code == 0, done
    takeover.untaken(lab, HOST)
    assert not expect.in_use(lab, NODE)
