"""`recover` is killed before and in the middle of each thing that it does to the disks; run again each time, it goes on from what
it finds, and ends with one mount, one mark and all data.

The killed program is the real one, and what it had begun (assembling, stopping, mounting) is done by nobody's order then.
"""

from novalab import expect, takeover
from novalab.uml import superblock

SHAPE = {"machines": "uml", "policy": {"off_read_pause": "200ms"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 300
NODE = "ha1"
# In an order in which each is come to. A look assembles without writing, and the mark is written with the assembly.
KILLS = (("before", "look"), ("meanwhile", "look"), ("before", "stop"), ("meanwhile", "stop"),
         ("before", "take"), ("meanwhile", "take"), ("before", "mount"), ("meanwhile", "mount"))


def run(lab):
    takeover.published(lab, "compute1")
    written = takeover.writers(lab, "compute1")
    for node in lab.ha_nodes:
        lab.stop_recoveries(node.name)
    takeover.install_killer(lab, NODE)
    lab.cut("compute1")
    lab.wait_incident("compute1", timeout=90)
    for when, effect in KILLS:
        takeover.kill_at(lab, NODE, when, effect)
        held = lab.arrays.holders("compute1")
        assert set(held) <= {NODE}, held
        marks = superblock.names(lab, "compute1")
        is_marked = (when, effect) == ("meanwhile", "take") or effect == "mount"
        assert marks == {takeover.mark(NODE) if is_marked else "compute1:guests"}, (when, effect, marks)
        assert not lab.evacuations(), f"a guest was sent while its disk was not there, after the kill {when} {effect}"
    done = lab.recover(NODE)
    assert done.code == 0, done
    incident = expect.recovered(lab, "compute1", 10)
    takeover.taken(lab, "compute1", NODE, written)
    adoptions = incident.events("adopted")
    assert len(adoptions) == len(KILLS) and all("same_node" in str(a["ground"]) for a in adoptions), adoptions
    assert len(incident.events("finished", "take_storage")) == 1, incident.journal
    assert len(lab.evacuations()) == len(lab.arrays.guests("compute1")), lab.evacuations()
    takeover.goes_on(lab, "compute1", NODE)
    takeover.never_ran(lab, "ha2")
