"""Real Nova, a directory for each guest on its own host's disk: the request that the product sends where it takes
storage over (2.13, `onSharedStorage`) fails closed when the disk is not on the target, and nothing is built; at 2.14
Nova answers the same 200 and builds the guest's disk anew from the image. That is why it is 2.13.

Where the directory was brought to the target, 2.13 attaches the very disk. No product runs here: this is Nova's part.
"""

import shutil

from novalab import wait

SHAPE = {"cloud": "openstack", "instances": "local", "hosts": 2, "ha_nodes": 0, "product": False, "cloud_seed": {
    "guests": [{"name": name, "host": "compute1"} for name in ("closed", "lost", "moved")]}}


def run(lab):
    guests = lab.guests()
    serials = {e["guest"]: e["serial"] for e in lab.cloud.hypervisor("built")}
    lab.cut("compute1")
    service = lab.cloud.services()["compute1"]["id"]
    lab.cloud.api.nova("PUT", f"/os-services/{service}", {"forced_down": True})
    assert lab.cloud.disks("compute2") == []

    end = evacuate(lab, guests["closed"], "2.13", {"host": "compute2", "onSharedStorage": True})
    now = lab.guests()["closed"]
    assert (end, now["vm_state"], now["host"]) == ("failed", "error", "compute1"), f"{end}: {now}"
    assert lab.cloud.disks("compute2") == [] and now["running_on"] == [], "2.13 did something on the target"
    assert len(lab.cloud.hypervisor("built")) == 3, "2.13 built a disk"

    lab.may_be_rebuilt("lost")
    end = evacuate(lab, guests["lost"], "2.14", {"host": "compute2"})
    now = lab.guests()["lost"]
    assert (end, now["vm_state"], now["host"]) == ("done", "active", "compute2"), f"{end}: {now}"
    assert now["disk"] == "rebuilt from image", f"without the interlock nothing was lost: {now}"
    assert lab.cloud.hypervisor("built")[-1]["host"] == "compute2"

    # What a takeover of the storage does: the same directory, now on the target.
    ref = guests["moved"]["id"]
    folder = f"/var/lib/nova/instances/{ref}"
    shutil.copytree(lab.machine("compute1").path(folder), lab.machine("compute2").path(folder))
    end = evacuate(lab, guests["moved"], "2.13", {"host": "compute2", "onSharedStorage": True})
    now = lab.guests()["moved"]
    assert (end, now["vm_state"], now["running_on"]) == ("done", "active", ["compute2"]), f"{end}: {now}"
    assert lab.cloud.hypervisor("kept")[-1]["serial"] == serials[ref], "another disk than its own"


def evacuate(lab, guest, version, inner):
    """Posts it and returns the status in which the migration ends, once the guest's own record, written later, has an end too."""
    answer = lab.cloud.api.nova_raw("POST", f"/servers/{guest['id']}/action", {"evacuate": inner}, version)
    assert answer.status == 200, f"{version}: {answer.status} {answer.body}"

    def over():
        mine = [m for m in lab.cloud.state()["migrations"] if m["guest"] == guest["name"]]
        ended = mine and mine[-1]["status"] in ("done", "failed", "error")
        return ended and lab.guests()[guest["name"]]["task_state"] is None and mine[-1]["status"]

    return wait.until(f"the evacuation of {guest['name']} is over", over, 60, 0.3)
