"""The HA node that recovers is cut off from Consul and everybody else, but not from Nova: it stops by its own lease.

It lives and could go on asking Nova for evacuations. Another one adopts when it is voted dead and the lock-delay is over;
from the end of its lease on the first asks Nova for nothing, and when it is back it does not go on either. Until it is back and has said that
it is through, the host is not given back.
"""

import time
from pathlib import Path

from novalab import expect, verdict, wait

MAY_BE_SHOT = ["compute1"]
# One guest at a time: by default all four are asked for before the cut, and nothing is left for the adopter to ask for.
SHAPE = {"policy": {"evacuation_parallel": "1"}, "cloud_seed": {"evacuate_seconds": 4, "token_seconds": 120}}
TIME_LIMIT = 420
# Session TTL 10 s: an effect may start until 8 s after the last good renewal (the lease's margin is 2 s).
TTL = 10


def run(lab):
    lab.panic("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 90)
    incident = wait.until("the first evacuation is accepted", lambda: accepted(lab), 30)
    holder = incident.holder
    held_by = recovering(lab, holder)
    assert held_by, "recover had ended already"
    everybody = [f"s{i}" for i in (1, 2, 3)] + [name for name in lab.machines if name != holder]
    lab.partition(holder, *everybody)
    cut_at = time.time()
    # Its watch and its sweep go on starting others, which cannot claim anything.
    wait.until("the one that is cut off gave up", lambda: not held_by & recovering(lab, holder), 120)
    print(f"{holder} gave up {time.time() - cut_at:.1f} s after it was cut off")
    assert lab.lives(holder)
    expect.adopted(lab, "compute1", holder, 150)
    expect.recovered(lab, "compute1", 120)
    sources = {lab.machine(node.name).address: node.name for node in lab.ha_nodes}
    effects = [r for r in lab.cloud.requests() if r["method"] != "GET" and "/compute/" in r["path"]]
    late = [r for r in effects if sources.get(r["source"]) == holder and verdict.seconds(r["at"]) > cut_at + TTL]
    assert not late, f"{holder} acted after its lease had ended: {late}"
    assert {sources[r["source"]] for r in effects} > {holder}, "the adopter asked Nova for the rest"
    reset = ("nova-ha", "reset", "compute1", "--by", "maria", "--yes", "compute1", "--maintenance", "--wait")
    # A person who is not cut off: at the HA node that went on with it.
    refused = lab.product(lab.incident_of("compute1").holder, *reset, "0s")
    assert refused.code == 1 and f"--gone {holder}" in refused.err, refused
    lab.mend(holder, *everybody)
    lab.wait_for_agent(holder)
    lab.recover(holder)
    incident = lab.incident_of("compute1")
    assert incident.state == "closed" and incident.holder != holder, incident
    lab.admin(*reset, "30s")
    assert not lab.flag("compute1", "failed")
    assert not lab.shots(holder) and not any(expect.in_use(lab, node.name) for node in lab.ha_nodes)


def recovering(lab, node):
    """The pids of nova-ha-recover itself on an HA node; the shells that wait for their turn have its name in their words only."""
    found = set()
    for pid in lab.machine(node).processes("nova-ha-recover"):
        try:
            if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == "nova-ha-recover":
                found.add(pid)
        except OSError:
            # It has just ended.
            continue
    return found


def accepted(lab):
    """The incident once Nova has accepted an evacuation, and the ledger says so."""
    incident = lab.incident_of("compute1")
    return incident if "accepted" in incident.outcomes().values() else None
