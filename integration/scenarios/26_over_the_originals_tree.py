"""A tree that the original wrote is imported as it is, and a host in it is recovered while the original's checks still run.

What its recovery left (ha1 in use, compute1.example.org recovered) belongs to no incident of ours: it is said with the
commands that end it, stops those two and nobody else, and is never gone on with. The original itself does not run here:
what its checks write is written by hand, at their times and in their words.
"""

import threading

from novalab import expect, wait

MAY_BE_SHOT = ["compute2"]
SHAPE = {"hosts": ["compute1.example.org", "compute2", "compute10"], "ha_nodes": 2, "fences": {}, "guests": 9,
         "imported": "tests/data/original-1.1.15-tree.json"}
TIME_LIMIT = 360
HOST_KEYS = "ha_cluster/compute_nodes"


def run(lab):
    assert lab.flag("compute1.example.org", "recovered") and expect.in_use(lab, "ha1"), "the import was changed"
    over = threading.Event()
    checks = threading.Thread(target=original_checks, args=(lab, over), daemon=True)
    checks.start()
    try:
        what_is_left_is_said(lab)
        lab.panic("compute2")
        incident = expect.recovered(lab, "compute2", 120)
        assert incident.holder == "ha2", f"ha1 is in use for another, and {incident.holder} recovered compute2"
        assert not lab.incident_ids("compute1.example.org"), "what the original recovered was taken for ours"
        what_is_left_is_ended(lab)
    finally:
        over.set()
        checks.join(10)


def what_is_left_is_said(lab):
    """In `status` and in the sweep, each with its command."""
    status = lab.admin("nova-ha", "status", check=False)
    swept = lab.product("ha2", "nova-ha-mark-failed", "--sweep")
    assert status.code == 3 and swept.code == 1, (status, swept)
    for said in (" ".join(status.out.split()), " ".join(swept.out.split())):
        for words in ("HA node ha1 is in use, and for no incident of ours", "nova-ha ha-node free ha1 --by NAME",
                      "status/recovered of compute1.example.org is True, and it has no incident of ours",
                      "nova-ha reset compute1.example.org --by NAME"):
            assert words in said, f"{words}: {said}"


def what_is_left_is_ended(lab):
    """The two commands, in the order in which they refuse: then ha1 is free, and the host is protected."""
    host = "compute1.example.org"
    reset = ("nova-ha", "reset", host, "--by", "maria", "--yes", host)
    assert lab.admin(*reset, check=False).code == 1, "reset while ha1 may have the host's storage"
    lab.admin("nova-ha", "ha-node", "free", "ha1", "--by", "maria", "--yes", "ha1")
    lab.admin(*reset)
    assert not expect.in_use(lab, "ha1") and not lab.flag(host, "failed") and not lab.flag(host, "recovered")
    wait.until("nothing of the original is left", lambda: "no incident of ours" not in
               lab.product("ha2", "nova-ha-mark-failed", "--sweep").out, 30)


def original_checks(lab, over):
    """The original's check on ha1, every 3 s: it counts without comparing, and from the fourth failure on it writes *failed*."""
    fails = {machine.name: 0 for machine in lab.hosts}
    while not over.wait(3):
        for name in fails:
            lives = lab.lives(name)
            if lives and fails[name] == 0:
                continue
            fails[name] = 0 if lives else fails[name] + 1
            lab.consul.put(f"{HOST_KEYS}/{name}/internal/number_fails", str(fails[name]))
            if fails[name] > 3:
                lab.consul.put(f"{HOST_KEYS}/{name}/status/failed", "True")
