"""A shelf does what the lab says of it, before anything of the product is trusted to it.

Its disks have one name on every machine, and no fault of the network is in the way to them. What one machine reserves is
reserved for all: others read and do not write, also after a power cut of either side, until it is preempted or cleared.
"""

from novalab import net, wait
from novalab.uml import reservations
from novalab.uml.reservations import Reserved

SHAPE = {"machines": "uml", "shelf": True, "product": False}
TIME_LIMIT = 300
HOST, BAY = "compute1", 0
FIRST, SECOND = 0xA1, 0xA2
TYPE, EXCLUSIVE = "Write Exclusive, registrants only", "Write Exclusive"
# Before the superblock, where neither md nor a filesystem has anything. What was written is the machine's name.
BLOCK = ("bs=4096", "count=1")


def run(lab):
    disks(lab)
    bays(lab)
    writer = isolated(lab)
    reserved(lab, writer)
    preempted(lab)
    boots_again(lab)
    exclusive(lab)
    cleared(lab, writer)


def disk(lab):
    """udev's path of the disk that is reserved."""
    return lab.disks.by_id(HOST, BAY)


def says(lab, name):
    """What a machine reads of the reservation of the disk."""
    return reservations.of(lab.machine(name), disk(lab))


def reads(lab, name):
    lab.machine(name).exec("dd", f"if={disk(lab)}", "of=/dev/null", "iflag=direct", *BLOCK, check=True, timeout=30)


def written(lab):
    """Who wrote last, by the file outside."""
    with open(lab.disks.image(HOST, BAY), "rb") as image:
        return image.read(64).partition(b"\n")[0].decode().strip("\0")


def writes(lab, name):
    """Whether a machine can write to the disk; where it cannot, the disk has refused it."""
    before = written(lab)
    words = ("if=/proc/sys/kernel/hostname", f"of={disk(lab)}", "oflag=direct", "conv=sync,notrunc", *BLOCK)
    done = lab.machine(name).exec("dd", *words, timeout=30)
    good = done.code == 0
    assert good or "Invalid exchange" in done.err, done
    assert written(lab) == (name if good else before), f"{written(lab)} wrote last: {done}"
    return good


def disks(lab):
    assert lab.shelf.name not in lab.machines and lab.consul.serf_health(lab.shelf.name) is None
    found = {}
    for host in ("compute1", "compute2"):
        for machine in lab.disks.seen_by(host):
            links = [lab.disks.by_id(host, bay) for bay in lab.disks.bays(host)]
            devices = machine.exec("readlink", "-e", *links, check=True).out.split()
            found.setdefault(machine.name, {}).update(zip(links, devices))
        assert lab.arrays.holders(host) == [host] and lab.arrays.wrong(host, host) == []
    assert {name: len(links) for name, links in found.items()} == {"compute1": 4, "compute2": 4, "ha1": 8, "ha2": 8}, found
    assert not set(found["compute1"]) & set(found["compute2"]) and found["ha1"] != found["ha2"], found
    for name, links in found.items():
        shown = lab.machine(name).exec("sh", "-c", "cat /sys/block/sd*/device/wwid", check=True).out.split()
        assert len(shown) == len(links), f"{name} sees disks that are not its own: {shown}"


def bays(lab):
    try:
        lab.disks.pull(HOST, BAY)
    except AssertionError as error:
        assert "stay in their bays" in str(error)
    else:
        raise AssertionError("a disk was pulled out of the shelf")


def isolated(lab):
    """The host is away for everyone, and writes; returns its writer."""
    writer = lab.arrays.write(HOST, lab.arrays.guests(HOST)[0])
    wait.until("the guest has written", lambda: writer.acknowledged() >= 20, 60)
    for break_it, mend_it in ((lab.unplug, lab.replug), (lab.isolate, None)):
        break_it(HOST)
        assert not net.pings(lab.network.namespace("ha3"), lab.machine(HOST).address)
        goes_on(writer)
        if mend_it:
            mend_it(HOST)
    return writer


def goes_on(writer):
    before = writer.acknowledged()
    wait.until("the guest writes on", lambda: writer.acknowledged() >= before + 50, 60)
    assert writer.runs()


def reserved(lab, writer):
    """An HA node has the disk: the host reads it, and writes only where it is not; its md goes on with what is left."""
    assert says(lab, HOST) == Reserved({}) and writes(lab, "ha2")
    ha1 = lab.machine("ha1")
    reservations.register(ha1, disk(lab), FIRST)
    reservations.reserve(ha1, disk(lab), FIRST)
    for name in (HOST, "ha1", "ha2"):
        assert says(lab, name) == Reserved({"ha1": FIRST}, "ha1", TYPE)
        reads(lab, name)
    assert writes(lab, "ha1") and not writes(lab, HOST) and not writes(lab, "ha2")
    wait.until("md of the host has given its member up", lambda: degraded(lab) == "1", 60)
    goes_on(writer)
    refused = reservations.ask(lab.machine("ha2"), disk(lab), "--out", "--clear", f"--param-rk={SECOND:#x}")
    assert refused.code == reservations.CONFLICT, f"one that is not registered cleared it: {refused}"


def degraded(lab):
    return lab.machine(HOST).exec("sh", "-c", "cat /sys/block/md*/md/degraded", check=True).out.strip()


def preempted(lab):
    """Another HA node takes it from the first one, which may as little as the host from then on."""
    ha2 = lab.machine("ha2")
    reservations.register(ha2, disk(lab), SECOND)
    assert says(lab, HOST) == Reserved({"ha1": FIRST, "ha2": SECOND}, "ha1", TYPE) and writes(lab, "ha2")
    reservations.preempt(ha2, disk(lab), SECOND, FIRST)
    for name in ("ha1", "ha2"):
        assert says(lab, name) == Reserved({"ha2": SECOND}, "ha2", TYPE)
        reads(lab, name)
    assert writes(lab, "ha2") and not writes(lab, "ha1")


def boots_again(lab):
    """Neither the host nor the HA node that has the disk is another one after a power cut."""
    for name in (HOST, "ha2"):
        lab.cut(name)
    left = lab.disks.digests(HOST)
    for name in (HOST, "ha2"):
        lab.power_on(name)
    for name in (HOST, "ha2"):
        lab.machine(name).wait_up()
    assert lab.arrays.holders(HOST) == [] and lab.disks.digests(HOST) == left
    for name in (HOST, "ha2"):
        assert says(lab, name) == Reserved({"ha2": SECOND}, "ha2", TYPE)
        reads(lab, name)
    assert writes(lab, "ha2") and not writes(lab, HOST)


def exclusive(lab):
    """The stricter type: that one is registered is not enough."""
    ha1, ha2 = lab.machine("ha1"), lab.machine("ha2")
    reservations.register(ha1, disk(lab), FIRST)
    assert writes(lab, "ha1")
    reservations.preempt(ha2, disk(lab), SECOND, SECOND, reservations.WRITE_EXCLUSIVE)
    assert says(lab, "ha1") == Reserved({"ha1": FIRST, "ha2": SECOND}, "ha2", EXCLUSIVE)
    assert writes(lab, "ha2") and not writes(lab, "ha1")


def cleared(lab, writer):
    """The disk is everybody's again, and the host's array is what it was."""
    reservations.clear(lab.machine("ha1"), disk(lab), FIRST)
    assert says(lab, HOST) == Reserved({}) and writes(lab, HOST)
    lab.arrays.assemble(HOST, HOST)
    assert lab.arrays.wrong(HOST, HOST) == []
    assert lab.arrays.last_record(HOST, writer.guest) >= writer.acknowledged()
