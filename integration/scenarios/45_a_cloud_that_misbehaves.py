"""A cloud that cannot be used is named by each HA node, and nothing is claimed; one that misbehaves in mid-recovery delays it,
no more.

Before the claim: wrong credentials, a region that does not exist, a keystone that is not there, a cell that is down. In the
middle: tokens that expire, answers cut in half, 429 and 503 to the evacuations themselves, then two minutes of no answer at all.
"""

import time
from collections import Counter

from novalab import cloud, expect, wait

MAY_BE_SHOT = ["compute1"]
# Two at a time: the two spoilt answers are all that is under way, and with 16 no guest would be left to be
# asked for when the cloud is back.
SHAPE = {"targets": {"mode": "hosts", "hosts": ["compute2", "compute3"]}, "policy": {"evacuation_parallel": "2"},
         "cloud_seed": {"evacuate_seconds": 3}}
TIME_LIMIT = 600
CLOUDS_FILE = "/etc/openstack/clouds.yaml"
AWAY_SECONDS = 120
SPOILT = {
    "ha1": (("password: secret", "password: wr0ng-pw"), ("refuse", "credential", "401")),
    "ha2": (("region_name: RegionOne", "region_name: Atlantis"), ("Atlantis", "RegionOne")),
    "ha3": ((f":{cloud.PORT}/v3", ":9/v3"), (":9/v3",)),
}


def run(lab):
    before_the_claim(lab)
    in_the_middle(lab)
    expect.recovered(lab, "compute1", 180)
    accepted = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert set(accepted.values()) == {1} and len(accepted) == 4, f"evacuations by guest: {accepted}"


def before_the_claim(lab):
    for node, ((right, wrong), _) in SPOILT.items():
        assert right in cloud.CLOUDS, right
        lab.machine(node).install_file(CLOUDS_FILE, cloud.CLOUDS.replace(right, wrong), 0o600)
    lab.cut("compute1")
    lab.wait_incident("compute1", "waiting")
    wait.until("each HA node says why it cannot", lambda: set(lab.incident_of("compute1").waiting) == set(SPOILT), 90, 1)
    for node, (_, words) in SPOILT.items():
        said = "; ".join(lab.incident_of("compute1").waiting[node])
        assert any(word in said for word in words), f"{node} says {said!r}, which has none of {words}"
        assert "wr0ng-pw" not in said, f"the password is in {said!r}"
    nothing_is_claimed(lab)

    # Usable again, but the host's cell is not: what it shows is a part, and a part is not taken for all.
    lab.cloud.door("POST", "hosts", {"host": "compute1", "cell_down": True})
    for node in SPOILT:
        lab.machine(node).install_file(CLOUDS_FILE, cloud.CLOUDS, 0o600)
    wait.until("every HA node sees the cell down",
               lambda: all("cell" in str(reasons) for reasons in lab.incident_of("compute1").waiting.values()), 60, 1)
    nothing_is_claimed(lab)
    lab.cloud.door("POST", "hosts", {"host": "compute1", "cell_down": False})


def nothing_is_claimed(lab):
    assert lab.incident_of("compute1").is_at("waiting") and not lab.flag("compute1", "recovered"), lab.incident_of("compute1")
    assert not lab.evacuations() and not lab.shots()
    assert not any(expect.in_use(lab, node.name) for node in lab.ha_nodes)


def in_the_middle(lab):
    # The first POSTs are answered as by a Nova that has too much to do: one surely not done, one that nobody can tell of. A
    # guest of which nobody can tell twice would be held for a person.
    for status in (429, 503):
        lab.cloud.fault(method="POST", path="/servers/[^/]+/action", action="status", status=status, count=1)
    lab.wait_journal("compute1", "started", "evacuate", 120)
    lab.cloud.fault(expire_tokens=True)
    lab.cloud.fault(method="GET", path="/os-migrations", action="cut", count=2)
    lab.cloud.fault(method="GET", path="/servers/", action="garbage", count=2)
    # Both that were answered so: the second of them is asked for milliseconds after the first, and a guest of which nobody could
    # tell now as well would rightly be held.
    wait.until("both were accepted", lambda: len(lab.cloud.state()["migrations"]) >= 2, 120)
    lab.cloud.fault(action="drop", count=100_000)
    gone = time.monotonic()
    wait.never("the incident ends while the cloud does not answer",
               lambda: lab.incident_of("compute1").state != "active", AWAY_SECONDS, 1)
    lab.cloud.heal()
    print(f"the cloud was away for {time.monotonic() - gone:.0f} s")
