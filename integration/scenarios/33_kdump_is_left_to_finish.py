"""A host that announces a crash dump (the real fence_kdump_send) is fenced only when that has ended; one that announces it without end, when the grace is over.

While it is left to finish, its incident says so, and for how long at most.
"""

import json
import time
from datetime import datetime

from novalab import expect, wait

MAY_BE_SHOT = ["compute1", "compute2"]
# The first dump is ended once somebody has heard it and waited a while: that must be within the grace.
GRACE, LISTEN, WATCHED = 60, 6, 10
SHAPE = {"policy": {"kdump_grace": f"{GRACE}s", "kdump_listen": f"{LISTEN}s"}}
TIME_LIMIT = 420
# From the end of the wait to the command at the BMC: two looks at the votes, up to 8 s each, and a handshake has 3 s.
WORK = 30


def run(lab):
    a_dump_is_left_to_finish(lab)
    one_without_end_is_given_the_grace_and_no_more(lab)


def a_dump_is_left_to_finish(lab):
    lab.dump("compute1", 0)
    wait.until("its incident says that it is left alone", lambda: "announces a crash dump" in waits(lab, "compute1"), 120, 0.3)
    wait.never("it is shot while it dumps", lab.shots, WATCHED)
    assert lab.dumps("compute1"), "it announces its dump no more, and nobody has ended it"
    lab.end_dump("compute1")
    ended = time.time()
    incident = expect.recovered(lab, "compute1", 120)
    after = lab.shots("compute1")[0]["at"] - ended
    assert LISTEN - 1 < after < LISTEN + WORK, f"shot {after:.1f} s after the last announcement"
    told = fact(incident)
    assert "left to finish" in told and "ignored" not in told, told
    assert not waits(lab, "compute1"), waits(lab, "compute1")


def one_without_end_is_given_the_grace_and_no_more(lab):
    lab.dump("compute2", 0)
    incident = lab.wait_journal("compute2", "claimed", timeout=90)
    claimed = datetime.fromisoformat(incident.journal[0]["at"].replace("Z", "+00:00")).timestamp()
    incident = lab.wait_incident("compute2", "closed", GRACE + 120)
    lab.assert_power("compute2", "off")
    assert set(incident.outcomes().values()) == {"recovered"}, incident.outcomes()
    shot = lab.shots("compute2")[0]["at"] - claimed
    assert GRACE - 1 < shot < GRACE + WORK, f"shot {shot:.1f} s after the claim"
    assert f"not ended within the {GRACE}s" in fact(incident), fact(incident)
    account = json.loads(lab.consul.get(f"ha_cluster/incidents/{incident.id}/kdump"))
    assert account["charged_ms"] <= GRACE * 1000 and account["messages"] > GRACE / 2, account


def waits(lab, host):
    """What the HA nodes say under its incident about what they wait for."""
    incident = lab.incident_of(host)
    return str(incident.waiting or "") if incident else ""


def fact(incident):
    """What its journal says about the dump."""
    facts = incident.events("started", "fence")[0]["facts"]
    return next(f for f in facts if f.startswith("kdump: "))
