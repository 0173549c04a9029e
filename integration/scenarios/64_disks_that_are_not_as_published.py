"""Disks that are not as the host published them: an old record, half of a mirror gone, a copy of a member, another filesystem at
the mountpoint, another array of the same name. Each time every HA node waits, says why, and nobody is shot; then the array is
taken without one of its disks, and resynced. Meanwhile a living host loses a disk, and goes on publishing its array.

The host is dead and its power on. It died while its guests wrote, so that what is taken was not stopped cleanly either.
"""

import json
import time

from novalab import expect, takeover, wait
from novalab.uml import disks, returning
from novalab.uml.guests import INSTANCES

SHAPE = {"machines": "uml"}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 800
HOST = "compute1"
NODES = ("ha1", "ha2")


def run(lab):
    # Their agents would publish at moments of their own: a record that is to be old anew, or beside a look of ours.
    for host in (HOST, "compute2"):
        lab.stop_publishing(host)
    record = takeover.published(lab, HOST)
    lab.admin("nova-ha", "policy", "set", "md_record_max_age", "1m")
    written = takeover.writers(lab, HOST)
    a_living_host_loses_a_disk(lab, "compute2", 0)
    wait.until("its record is old", lambda: time.time() - record["time"]["timestamp"] > 65, 70, 1)
    lab.panic(HOST)
    lab.wait_incident(HOST, "waiting", 120)
    left = lab.disks.digests(HOST)
    waits_for(lab, "more apart than policy")

    # The next reason is there before this one goes: whoever may take it takes it at once.
    for bay in (0, 1):
        lab.disks.pull(HOST, bay)
    lab.admin("nova-ha", "policy", "set", "md_record_max_age", "49h")
    waits_for(lab, "too many for raid10")

    lab.disks.replace("compute2", 3, content=lab.disks.image(HOST, 2))
    lab.disks.put_back(HOST, 0)
    waits_for(lab, "was not published as one")

    for node in NODES:
        lab.machine(node).exec("mount", "-t", "tmpfs", "tmpfs", INSTANCES, check=True)
    lab.disks.replace("compute2", 3)
    waits_for(lab, "another filesystem is mounted")

    assert not lab.shots(HOST) and lab.power_reads(HOST) is True and not lab.incident_of(HOST).events("claimed")
    assert lab.disks.digests(HOST) == left, "a byte of the disks changed, and nobody had taken them"
    for node in NODES:
        takeover.never_ran(lab, node)
    another_of_its_name(lab, left)
    for node in NODES:
        lab.machine(node).exec("umount", INSTANCES, check=True)
    incident = expect.recovered(lab, HOST, 150)
    begun, done = (" ".join(fact for event in incident.events(kind, "take_storage") for fact in event["facts"])
                   for kind in ("started", "finished"))
    # The second is said of the disks as they are then: so small an array may be resynced already.
    assert "DEGRADED, 1 of 4 members missing, not stopped cleanly: it is resynced" in begun, begun
    assert "DEGRADED, 1 of 4 members missing" in done, done
    takeover.taken(lab, HOST, incident.holder, written)
    resynced(lab, incident.holder)
    takeover.whole(lab, HOST, incident.holder, written)


def a_living_host_loses_a_disk(lab, host, bay):
    """Its check ends in time and says so, and publishes nothing less while md has not given the disk up; then it is put back."""
    known = takeover.published(lab, host)["md_arrays"]
    # md gives a member up when a write to it fails, and when udev has heard that the disk is gone and tells mdadm: neither yet.
    returning.freeze(lab, host, host)
    lab.machine(host).exec("udevadm", "control", "--stop-exec-queue", check=True)
    lab.disks.pull(host, bay)
    said = looks(lab, host)
    assert said.code == 1 and "there is no block device" in said.out, said
    assert md_arrays(lab, host) == known, md_arrays(lab, host)
    lab.machine(host).exec("udevadm", "control", "--start-exec-queue", check=True)
    returning.thaw(lab, host)
    takeover.goes_on(lab, host, host)
    wait.until("md has given it up", lambda: len(md(lab, host, "dev-*/slot").split()) == len(lab.disks.bays(host)) - 1, 60)
    said = looks(lab, host)
    assert said.code == 0 and f"DEGRADED: {host}:guests" in said.out, said
    array = md_arrays(lab, host)[lab.arrays.array(host)]
    others = {lab.disks.wwn(host, other) for other in lab.disks.bays(host) if other != bay}
    assert array["degraded"] == 1 and array["num_devices"] == "4", array
    assert {member["disk"] for member in array["members"] if member["in_sync"]} == others, array
    lab.disks.put_back(host, bay)
    lab.machine(host).exec("mdadm", takeover.device(lab, host), "--add", lab.disks.by_id(host, bay), check=True)
    wait.until("it has all data again", lambda: (md(lab, host, "degraded"), md(lab, host, "sync_action")) == ("0", "idle"), 60, 1)
    assert looks(lab, host).code == 0
    assert md_arrays(lab, host) == known, md_arrays(lab, host)
    assert lab.arrays.wrong(host, host) == []


def looks(lab, host):
    """What its check says. Consul kills one after 30 s; this one is to end before."""
    return lab.product(host, "nova-ha-runtime-info", "--host", host, timeout=20)


def md_arrays(lab, host):
    """The arrays that a host has published."""
    return json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{host}/internal/runtime_config"))["md_arrays"]


def md(lab, name, file):
    """What md says of the only array that a machine has."""
    return lab.machine(name).exec("sh", "-c", f"cat /sys/block/md*/md/{file}", check=True).out.strip()


def resynced(lab, node):
    """The holder's kernel makes the copies that there are alike, and the disks say so; no place is filled that has no disk."""
    wait.until("the resync is over", lambda: md(lab, node, "sync_action") == "idle", 120, 1)
    said = [line for line in lab.machine(node).exec("dmesg", "--color=never", check=True).out.splitlines() if "md: " in line]
    assert any("resync of RAID array" in line for line in said) and any("resync done" in line for line in said), said
    assert md(lab, node, "degraded") == "1", "a place was filled that has no disk"
    # md writes it a moment after the last write.
    wait.until("its members say that they are alike", lambda: all(m.in_sync for m in takeover.current(lab, HOST).values()), 20)


def another_of_its_name(lab, left):
    """Somebody makes a new array of the host's disks, and calls it as the host did; then the disks are as they were again."""
    lab.disks.put_back(HOST, 1)
    images = [lab.disks.image(HOST, bay) for bay in lab.disks.bays(HOST)]
    kept = [image.with_suffix(".kept") for image in images]
    for image, copy in zip(images, kept):
        disks.copy(image, copy)
    members = [lab.disks.by_id(HOST, bay) for bay in lab.disks.bays(HOST)]
    lab.machine("ha1").exec("mdadm", "--create", "/dev/md/wrong", "--run", "--quiet", "--level=10", "--raid-devices=4", "--metadata=1.2",
                            "--name=guests", f"--homehost={HOST}", "--assume-clean", *members, check=True)
    lab.machine("ha1").exec("mdadm", "--stop", "/dev/md/wrong", check=True)
    waits_for(lab, "no members of it any more")
    for image, copy in zip(images, kept):
        disks.copy(copy, image)
    lab.disks.pull(HOST, 1)
    assert lab.disks.digests(HOST) == left


def waits_for(lab, reason):
    """Each HA node with disks says so, and does nothing."""
    for node in NODES:
        said = wait.until(f"{node} waits because: {reason}", lambda: text if reason in (text := takeover.waits(lab, node)) else None, 60, 2)
        assert "waiting" in said, said
