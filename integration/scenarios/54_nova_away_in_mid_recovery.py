"""Real Nova: nova-api is gone in the middle of the evacuations and comes back half a minute later; the recovery waits for
it, closes, and no guest is evacuated twice.

It dies between two requests. One that it dies in may leave a guest in `rebuilding` without a migration, for ever: nobody
can tell that from a slow nova-api, so that guest is held at its deadline (seen here; the simulated world has it).
"""

import time
from collections import Counter

from novalab import expect, wait

# Longer than any single deadline of the client, far shorter than an operator's patience: two minutes are the same waiting.
AWAY_SECONDS = 30
# More guests than may be under way at once: 16 by default, for which real Nova would have to make and move four times as many.
SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "fences": {}, "policy": {"evacuation_parallel": "2"}, "cloud_seed": {
    "evacuate_seconds": 8, "guests": [{"name": f"vm-{n:02}", "host": "compute1"} for n in range(1, 5)]}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    lab.cut("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 120)
    # As many as may be under way at once: the next is posted when one of them has arrived.
    wait.until("two evacuations were accepted", lambda: len(lab.evacuations()) == 2, 60, 0.2)
    lab.cloud.api_away()
    gone = time.monotonic()
    wait.never("the incident ends while Nova cannot be asked",
               lambda: lab.incident_of("compute1").state != "active", AWAY_SECONDS, 1)
    lab.cloud.api_back()
    print(f"nova-api was away for {time.monotonic() - gone:.0f} s")
    expect.recovered(lab, "compute1", 180)
    accepted = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert set(accepted.values()) == {1} and len(accepted) == 4, f"evacuations by guest: {accepted}"
