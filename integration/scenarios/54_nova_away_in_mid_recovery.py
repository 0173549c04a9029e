"""Real Nova: nova-api is gone in the middle of the evacuations and comes back half a minute later; the recovery waits for
it, closes, and no guest is evacuated twice."""

import time
from collections import Counter

from novalab import expect, wait

# Longer than any single deadline of the client, far shorter than an operator's patience: two minutes are the same waiting.
AWAY_SECONDS = 30
SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "fences": {}, "policy": {"evacuation_parallel": "2"}, "cloud_seed": {
    "evacuate_seconds": 3, "guests": [{"name": f"vm-{n:02}", "host": "compute1"} for n in range(1, 5)]}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    lab.cut("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 120)
    wait.until("an evacuation was posted", lab.evacuations, 60)
    lab.cloud.api_away()
    gone = time.monotonic()
    wait.never("the incident ends while Nova cannot be asked",
               lambda: lab.incident_of("compute1").state != "active", AWAY_SECONDS, 1)
    lab.cloud.api_back()
    print(f"nova-api was away for {time.monotonic() - gone:.0f} s")
    expect.recovered(lab, "compute1", 180)
    accepted = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert set(accepted.values()) == {1} and len(accepted) == 4, f"evacuations by guest: {accepted}"
