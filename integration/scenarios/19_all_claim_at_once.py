"""All HA nodes' `recover` start in the same instant, fifty times: each time exactly one claims, and the others touch nothing.

Each round opens a new incident by a person's order on a host that is off, starts `recover` on all three HA nodes at once,
and resets the host. The first round has guests to evacuate. Nobody but the scenario starts a `recover`: the watches
and sweeps are taken away.
"""

from collections import Counter

from novalab import expect

# A round is about the claim: the host is off all the time, and nobody waits for the silence of its SSH port.
SHAPE = {"hosts": 2, "guests": 4, "fences": {}, "policy": {"off_reads": "2", "off_read_pause": "100ms", "storm_limit": "3"}}
TIME_LIMIT = 600
ROUNDS = 50


def run(lab):
    names = [node.name for node in lab.ha_nodes]
    for name in names:
        lab.stop_recoveries(name)
    lab.cut("compute1")
    lab.wait_for_agent("compute1", "critical")
    winners, raced = Counter(), 0
    for number in range(ROUNDS):
        # By order, unless the observers were faster: an order on an open incident is added to it.
        marked = lab.admin("nova-ha-mark-failed", "compute1", "--by", "lab", "--yes", "compute1", check=False)
        incident = lab.incident_of("compute1")
        assert incident and incident.id == f"compute1@{number}" and incident.phase == "open", f"{incident}: {marked}"
        before = {name: size(lab, name) for name in names}
        lab.together(names, "nova-ha-recover", "compute1", timeout=60)
        incident = lab.incident_of("compute1")
        assert incident.state == "closed", incident
        claims = [entry for entry in incident.journal if entry["what"]["event"] == "claimed"]
        assert len(claims) == 1, f"round {number}: {claims}"
        winner = claims[0]["by"]
        strangers = [entry for entry in incident.journal if entry["by"] not in (winner, "lab")]
        assert not strangers, f"round {number}: {winner} claimed, and others wrote {strangers}"
        winners[winner] += 1
        # Who lost found either that it was taken already, or was refused by Consul in the very transaction.
        raced += sum("not taken" in said(lab, name, before[name]) for name in names if name != winner)
        assert not any(expect.in_use(lab, name) for name in names), f"round {number}: an HA node is still in use"
        lab.admin("nova-ha", "reset", "compute1", "--by", "lab", "--maintenance", "--yes", "compute1")
        lab.admin("nova-ha", "maintenance", "off", "compute1", "--by", "lab")
    print(f"{ROUNDS} claims: {dict(winners)}, {raced} losers were refused by the claim's own transaction")
    assert raced, "no two claims ever met: the rounds did not race"
    posts = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert len(posts) == 2 and set(posts.values()) == {1}, posts
    assert not lab.shots(), lab.shots()


def size(lab, name):
    """How long the output of the HA node's recoveries is by now."""
    log = lab.machine(name).folder / "log" / "together.log"
    return log.stat().st_size if log.exists() else 0


def said(lab, name, begin):
    """What its recovery said since then."""
    with (lab.machine(name).folder / "log" / "together.log").open("rb") as log:
        log.seek(begin)
        return log.read().decode("utf-8", "replace")
