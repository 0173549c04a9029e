"""A host's guests lie on two arrays, whose members are partitions of the same disks, and one filesystem is mounted within the other:
both are taken, or neither is marked; killed between the two, and between the two mounts, it goes on; and both are given back.
"""

from novalab import expect, takeover
from novalab.uml import disks, returning, superblock
from novalab.uml.guests import OWN_BAYS

# The pause saves time only: eleven runs prove the host off, each with two pauses of 1 s by default.
SHAPE = {"machines": "uml", "disk_mb": 704, "partitioned": True, "policy": {"off_read_pause": "200ms"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 800
HOST, NODE = "compute1", "ha1"
UNTAKEN = (f"{HOST}:guests", f"{HOST}:own")
MARKED = (takeover.mark(NODE), takeover.mark(NODE, "own"))
RELEASE = (HOST, "--release-storage", "--yes", HOST, "--by", "ann")


def run(lab):
    takeover.published(lab, HOST)
    written = takeover.writers(lab, HOST)
    for node in lab.ha_nodes:
        lab.stop_recoveries(node.name)
    takeover.install_killer(lab, NODE)
    lab.cut(HOST)
    lab.wait_incident(HOST, timeout=90)
    left = lab.disks.digests(HOST)
    one_is_not_here(lab)
    one_was_made_anew(lab, left)
    taken(lab, left)
    incident = expect.recovered(lab, HOST, 10)
    takeover.taken(lab, HOST, NODE, written)
    assert len(incident.events("finished", "take_storage")) == 1, incident.journal
    assert len(lab.evacuations()) == len(lab.arrays.guests(HOST)), lab.evacuations()
    given_back(lab)
    lab.power_on(HOST)
    lab.machine(HOST).wait_up()
    lab.arrays.assemble(HOST, HOST)
    takeover.whole(lab, HOST, HOST, written)
    takeover.never_ran(lab, "ha2")


def names(lab):
    """What the members of each array say that it is called."""
    found = [superblock.names(lab, HOST, number) for number in range(2)]
    assert all(len(said) == 1 for said in found), found
    return tuple(said.pop() for said in found)


def mounted(lab):
    """Where the HA node has which of the host's two filesystems, by its kernel."""
    mounts = [line.split()[1] for line in lab.machine(NODE).read_file("/proc/mounts").splitlines()]
    return [array["at"] in mounts for array in lab.arrays.all(HOST)]


def one_is_not_here(lab):
    """The second array has no member here, the first one all of its data: nothing is claimed, and nothing is marked."""
    for bay in OWN_BAYS:
        lab.disks.pull(HOST, bay)
    said = takeover.waits(lab, NODE)
    assert f"{HOST}:own" in said and "is not here" in said, said
    assert not lab.incident_of(HOST).events("claimed") and names(lab) == UNTAKEN
    for bay in OWN_BAYS:
        lab.disks.put_back(HOST, bay)


def one_was_made_anew(lab, left):
    """Somebody puts another filesystem on the second array. The first one is looked at before, and not marked for that."""
    own = lab.arrays.all(HOST)[1]
    images = [lab.disks.image(HOST, bay) for bay in OWN_BAYS]
    kept = [image.with_suffix(".kept") for image in images]
    for image, copy in zip(images, kept):
        disks.copy(image, copy)
    person = lab.machine("ha1")
    person.exec("mdadm.real", "--assemble", f"--uuid={own['array']}", "/dev/md/wrong", check=True)
    person.exec("mkfs.xfs", "-q", "-f", "/dev/md/wrong", check=True)
    person.exec("mdadm.real", "--stop", "/dev/md/wrong", check=True)
    said = takeover.waits(lab, NODE)
    incident = lab.incident_of(HOST)
    assert incident.is_at("held") and f"filesystem {own['filesystem']} is not on" in said, (said, incident)
    assert names(lab) == UNTAKEN and lab.arrays.holders(HOST) == [] and mounted(lab) == [False, False]
    for image, copy in zip(images, kept):
        disks.copy(copy, image)
    assert lab.disks.digests(HOST) == left, "a look changed what is not of the person's doing"
    lab.admin("nova-ha", "incident", "resume", incident.id, "--by", "ann")


def taken(lab, left):
    """By an HA node that is killed between the arrays and between the mounts: what it had begun happens, and it goes on from there."""
    takeover.kill_at(lab, NODE, "before", "take")
    assert names(lab) == UNTAKEN and lab.disks.digests(HOST) == left, "both are looked at, and nothing is written"
    takeover.kill_at(lab, NODE, "meanwhile", "take")
    assert names(lab) == (MARKED[0], UNTAKEN[1])
    takeover.kill_at(lab, NODE, "meanwhile", "take")
    assert names(lab) == MARKED and mounted(lab) == [False, False]
    takeover.kill_at(lab, NODE, "meanwhile", "mount")
    assert mounted(lab) == [True, False] and not lab.evacuations()
    takeover.kill_at(lab, NODE, "before", "mount")
    assert mounted(lab) == [True, False] and not lab.evacuations()
    done = lab.recover(NODE)
    assert done.code == 0, done
    assert mounted(lab) == [True, True] and names(lab) == MARKED


def given_back(lab):
    """Both, the inner mount first, by an HA node that is killed after the first array has its own name again."""
    assert returning.moved_off(lab, NODE, "compute2")
    takeover.kill_at(lab, NODE, "meanwhile", "unmount", *RELEASE)
    assert mounted(lab) == [True, False] and names(lab) == MARKED
    takeover.kill_at(lab, NODE, "meanwhile", "rename", *RELEASE)
    assert mounted(lab) == [False, False] and sorted(map(str.count, names(lab), ("nova-ha", "nova-ha"))) == [0, 1], names(lab)
    assert expect.in_use(lab, NODE)
    done = lab.recover(NODE, *RELEASE)
    assert done.code == 0, done
    assert names(lab) == UNTAKEN and lab.arrays.holders(HOST) == [] and not expect.in_use(lab, NODE)
