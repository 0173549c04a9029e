"""A host that nobody reaches any more is fenced while its guests write: an HA node takes its array, and every record that a
guest was told is written is there, as read from disk.

The host lives and writes until its BMC cuts it, so that the array and the filesystem are in the state of a power cut.
"""

import random

from novalab import expect, takeover, wait

SHAPE = {"machines": "uml", "bitmap": True}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600
LONG = 20


def run(lab):
    takeover.published(lab, "compute1")
    # Of `--long`, each run dies elsewhere in the filesystem's log and the array's bitmap.
    records = random.randrange(50, 400)
    written = takeover.writers(lab, "compute1", records)
    lab.isolate("compute1")
    before = [writer.acknowledged() for writer in written]
    incident = expect.recovered(lab, "compute1", 150)
    acknowledged = [writer.acknowledged() for writer in written]
    assert all(now > then for now, then in zip(acknowledged, before)), "it did not write until it was fenced"
    assert lab.shots("compute1"), "nobody cut its power"
    wait.until("its writers have died with it", lambda: not any(writer.runs() for writer in written), 5)
    takeover.taken(lab, "compute1", incident.holder, written)
    print(f"acknowledged {acknowledged} (isolated at {before}), all there on {incident.holder}")
    takeover.goes_on(lab, "compute1", incident.holder)
    other = next(name for name in ("ha1", "ha2") if name != incident.holder)
    takeover.never_ran(lab, other)
    assert not expect.in_use(lab, other)
    takeover.untaken(lab, "compute2", ["compute2"])
    assert lab.arrays.wrong("compute2", "compute2") == []
