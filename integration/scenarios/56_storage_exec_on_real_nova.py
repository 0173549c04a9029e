"""Real Nova, each host's guests on its own disk, storage `exec`: the dead host's directories are copied to the HA node once it is
off; each guest is asked for attach-only and starts on the very disk that it had, and nothing is built. One whose disk stayed
behind is held, and Nova, which would have built it anew, is never asked.
"""

import shutil

from novalab import expect

SHAPE = {"cloud": "openstack", "instances": "local", "hosts": 2, "ha_nodes": 1, "fences": {},
         "targets": {"mode": "this_ha_node"},
         "cloud_seed": {"guests": [{"name": name, "host": "compute1"} for name in ("behind", "vm-01", "vm-02")]}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600
INSTANCES = "/var/lib/nova/instances"
PROGRAM = "/opt/nova-ha/copy-directories"
# As docs/examples/storage-exec-move-directory, between two filesystems.
TEXT = """#!/usr/bin/python3
import json, os, re, shutil, sys
order, source = json.load(sys.stdin), sys.argv[1]
place = order["mountpoint"]
def guests(folder):
    return [n for n in os.listdir(folder) if re.fullmatch("[0-9a-f-]{36}", n)] if os.path.isdir(folder) else []
if order["verb"] == "take":
    for name in guests(source):
        partial = os.path.join(place, ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(os.path.join(source, name), partial)
        os.rename(partial, os.path.join(place, name))
        shutil.rmtree(os.path.join(source, name))
left, here = guests(source), guests(place)
state = "ready" if left else "taken" if here else "refused"
print(json.dumps({"version": 1, "state": state, "detail": "%d there, %d here" % (len(left), len(here)),
                  "mounted": [{"what": source, "where": place}]}))
"""


def run(lab):
    before = lab.guests()
    built = len(lab.cloud.hypervisor("built"))
    compute1, ha1 = lab.machine("compute1"), lab.ha_nodes[0]
    source = compute1.folder / "disk" / INSTANCES.lstrip("/")
    ha1.install_file(PROGRAM, TEXT, 0o755)
    lab.admin("nova-ha", "ha-node", "add", ha1.name, "--replace", "--storage", "exec", "--nova-mountpoint", INSTANCES,
              "--nova-user", "root", "--storage-exec", f"{PROGRAM} {source}")
    lab.cut("compute1")
    kept = lab.state / "behind"
    shutil.move(source / before["behind"]["id"], kept)

    incident = lab.wait_incident("compute1", "held", 180)
    assert incident.outcomes() == {"behind": "held", "vm-01": "recovered", "vm-02": "recovered"}, incident.outcomes()
    assert "behind" not in [post["guest"] for post in lab.evacuations()], lab.evacuations()
    shutil.move(kept, ha1.path(INSTANCES) / before["behind"]["id"])
    lab.admin("nova-ha", "incident", "resume", incident.id, "--by", "maria")
    lab.recover(ha1.name)
    expect.recovered(lab, "compute1", 120)

    for post in lab.evacuations():
        assert post["microversion"] == "2.13", post
        assert post["body"]["evacuate"] == {"onSharedStorage": True, "host": ha1.name}, post
    assert len(lab.cloud.hypervisor("built")) == built, "a disk was built"
    after = lab.guests()
    for name in before:
        assert after[name]["running_on"] == [ha1.name] and after[name]["disk"] == "original", f"{name}: {after[name]}"
    assert expect.in_use(lab, ha1.name), "it has the storage and is free"
