"""Storage `exec`: the dead host's disks are moved by a site's own program to the HA node that recovers it, once it is off; each
guest is asked for attach-only, and one whose disk did not come along is held and never asked for.
"""

import shutil

from novalab import expect, paths, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 300
SHAPE = {"guests": 9, "targets": {"mode": "this_ha_node"}}
PROGRAM = "/opt/nova-ha/move-directory"


def run(lab):
    pool = lab.state / "pool"
    guests = {name: guest for name, guest in lab.guests().items() if guest["host"] == "compute1"}
    for guest in guests.values():
        (pool / "compute1" / guest["id"]).mkdir(parents=True)
        (pool / "compute1" / guest["id"] / "disk").write_text(guest["name"], encoding="utf-8")
    example = (paths.REPO / "docs/examples/storage-exec-move-directory").read_text(encoding="utf-8")
    for node in lab.ha_nodes:
        place = pool / node.name
        place.mkdir()
        node.install_file(PROGRAM, example, 0o755)
        lab.admin("nova-ha", "ha-node", "add", node.name, "--replace", "--storage", "exec", "--nova-mountpoint", place,
                  "--nova-user", "root", "--storage-exec", f"{PROGRAM} {pool}")
        lab.cloud.door("POST", "hosts", {"host": node.name, "instances_path": str(place)})
    assert len(guests) >= 3, guests
    # Its disk is on no pool: Nova would build it anew from the image, if it were asked as for shared storage.
    lost = sorted(guests)[0]
    shutil.rmtree(pool / "compute1" / guests[lost]["id"])

    lab.cut("compute1")
    incident = lab.wait_incident("compute1", "held", 120)
    holder = incident.holder
    assert incident.outcomes()[lost] == "held", incident.outcomes()
    posts = lab.evacuations()
    assert lost not in [post["guest"] for post in posts], posts
    assert len(posts) == len(guests) - 1, posts
    for post in posts:
        assert post["microversion"] == "2.13", post
        assert post["body"]["evacuate"] == {"onSharedStorage": True, "host": holder}, post
    assert expect.in_use(lab, holder), f"{holder} has the storage and is free"

    # A person finds its disk, and leads on.
    (pool / holder / guests[lost]["id"]).mkdir()
    (pool / holder / guests[lost]["id"] / "disk").write_text(lost, encoding="utf-8")
    lab.admin("nova-ha", "incident", "resume", str(incident.id), "--by", "maria")
    lab.recover(holder)
    expect.recovered(lab, "compute1", 90)
    assert expect.in_use(lab, holder), f"{holder} has the storage and is free"
    takes = [event for event in lab.incident(incident.id).events("finished") if "take_storage" in str(event)]
    assert len(takes) == 1 and "changed" in str(takes[0]), takes
    wait.until("every guest runs on the holder",
               lambda: all(lab.guests()[name]["host"] == holder for name in guests), 10)
