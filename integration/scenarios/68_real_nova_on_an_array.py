"""Real Nova on machines with kernels of their own: a dead host's array is taken over, and its guests start on the HA node, attach-only,
on the very disks that they had: no byte of what was there before the cut is another one, and nothing is built.

A guest whose directory is not on the array is held; Nova, which would have built its disk anew, is never asked for it.
"""

from novalab import expect, wait
from novalab.uml.guests import INSTANCES

SHAPE = {"machines": "uml", "cloud": "openstack", "hosts": 2, "ha_nodes": 1, "with_kernel": ["compute1", "ha1"], "cloud_seed": {
    "guests": [{"name": name, "host": "compute1"} for name in ("stray", "vm-01", "vm-02")] + [{"name": "other", "host": "compute2"}]}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600
ELSEWHERE = "/var/lib/elsewhere"


def run(lab):
    before = lab.guests()
    serials = {event["guest"]: event["serial"] for event in lab.cloud.hypervisor("built")}
    on_the_array(lab, before)
    stray = before["stray"]["id"]
    # On a disk that only the host itself has.
    lab.machine("compute1").exec("sh", "-c", 'mkdir "$1" && mv "$2" "$1" && sync', "sh", ELSEWHERE, f"{INSTANCES}/{stray}", check=True)
    writer = lab.arrays.write("compute1", before["vm-01"]["id"])
    wait.until("vm-01 has written", lambda: writer.acknowledged() >= 20, 60)

    lab.cut("compute1")
    assert not lab.machine("compute1").processes(lab.cloud.compute_word), "nova-compute outlives its host"
    wait.until("Nova says that it is down", lambda: lab.cloud.services()["compute1"]["state"] == "down", 60)
    incident = lab.wait_incident("compute1", "held", 240)
    assert incident.outcomes() == {"stray": "held", "vm-01": "recovered", "vm-02": "recovered"}, incident.outcomes()
    assert expect.in_use(lab, "ha1"), "it has the storage and is free"

    posts = lab.evacuations()
    assert sorted(post["guest"] for post in posts) == ["vm-01", "vm-02"], posts
    for post in posts:
        assert post["microversion"] == "2.13", post
        assert post["body"]["evacuate"] == {"onSharedStorage": True, "host": "ha1"}, post
    the_same_disks(lab, before, serials, stray)
    found = lab.arrays.last_record("ha1", before["vm-01"]["id"])
    assert found >= writer.acknowledged(), f"record {writer.acknowledged()} was acknowledged, the last that is there is {found}"


def on_the_array(lab, guests):
    """The guests of compute1 run, and their disks are on its array."""
    mine = {guest["id"] for guest in guests.values() if guest["host"] == "compute1"}
    assert all(guest["vm_state"] == "active" and guest["running_on"] == [guest["host"]] for guest in guests.values()), guests
    wait.until("Nova hears of compute1", lambda: lab.cloud.services()["compute1"]["state"] == "up", 60)
    assert set(lab.arrays.guests("compute1")) == mine == set(lab.cloud.disks("compute1"))
    assert lab.arrays.holders("compute1") == ["compute1"] and lab.arrays.wrong("compute1", "compute1") == []
    assert f" {INSTANCES} xfs " in lab.machine("compute1").read_file("/proc/mounts")


def the_same_disks(lab, before, serials, stray):
    """What runs on ha1 runs on the disks that compute1 had, byte for byte; what was not there was left alone."""
    assert lab.arrays.holders("compute1") == ["ha1"]
    assert lab.arrays.wrong("ha1", "compute1") == [f"the disk of {stray} is not there on ha1"]
    after, log = lab.guests(), lab.cloud.hypervisor()
    built = [event["guest"] for event in log if event["event"] == "built"]
    assert sorted(built) == sorted(serials), "a disk was built"
    kept = {event["guest"]: (event["host"], event["serial"]) for event in log if event["event"] == "kept"}
    assert kept == {before[name]["id"]: ("ha1", serials[before[name]["id"]]) for name in ("vm-01", "vm-02")}, kept
    for name in ("vm-01", "vm-02"):
        assert (after[name]["host"], after[name]["running_on"], after[name]["disk"]) == ("ha1", ["ha1"], "original"), after[name]
    assert (after["stray"]["host"], after["stray"]["running_on"]) == ("compute1", []), after["stray"]
    assert after["other"]["running_on"] == ["compute2"], after["other"]
