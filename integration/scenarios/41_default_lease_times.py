"""With the default session TTL (15 s) and lock-delay (60 s) an adoption takes as long as these two say, and not less.

The holder's host is cut: its session ends between one and two TTLs after its last renewal (renewed every quarter of a
TTL), and Consul keeps the lock closed for the lock-delay after that.
"""

import time

from novalab import expect, verdict

MAY_BE_SHOT = ["compute1"]
# Guests go to hosts: a guest that the scheduler sends to the holder would die with it.
SHAPE = {"policy": {"session_ttl": None, "lease_margin": None, "lock_delay": None, "post_settle": None},
         "cloud_seed": {"evacuate_seconds": 4, "token_seconds": 120}, "targets": {"mode": "hosts", "hosts": ["compute2", "compute3"]}}
TIME_LIMIT = 600
TTL, LOCK_DELAY = 15, 60


def run(lab):
    holder = expect.holder_dies_in_mid_evacuation(lab, "compute1")
    cut_at = time.time()
    incident = expect.adopted(lab, "compute1", holder, 240)
    took = verdict.seconds(expect.adoption(incident)["at"]) - cut_at
    print(f"adopted {took:.1f} s after the holder's power was cut")
    assert took >= TTL * 3 / 4 + LOCK_DELAY, f"adopted {took:.1f} s after the cut: before the lock-delay was over"
    assert took <= TTL * 2 + LOCK_DELAY + 45, f"adopted only {took:.1f} s after the cut"
    # What the dead holder was posting is looked for in Nova for a minute (post_settle) before it is posted again.
    expect.recovered(lab, "compute1", 200)
