"""All HA nodes' `recover` start in the same instant, fifty times: each time exactly one claims, and the others touch nothing.

Each round's incident comes from a `failed` written by hand on a living host: it is claimed, and then waits for a
person's word instead of a fence, so that a round is little more than the race. A person abandons it and resets the host.
Nobody but the scenario starts a `recover`: the watches and sweeps are taken away, and so whoever claimed does not say that it is through with
it: in each second round a run of its own says so, else the person.
"""

from collections import Counter

from novalab import expect

# Nothing has to be noticed quickly here; seldom probes leave the processors to the race.
SHAPE = {"hosts": 1, "guests": 2, "policy": {"probe_interval": None, "probe_deadline": None}}
TIME_LIMIT = 900
ROUNDS = 50


def run(lab):
    names = [node.name for node in lab.ha_nodes]
    for name in names:
        lab.stop_recoveries(name)
    winners, raced = Counter(), 0
    for number in range(ROUNDS):
        lab.consul.put("ha_cluster/compute_nodes/compute1/status/failed", "True")
        # The sweep, unless one that Consul runs was faster.
        swept = lab.admin("nova-ha-mark-failed", "--sweep", check=False)
        incident = lab.incident_of("compute1")
        assert incident and incident.id == f"compute1@{number}" and incident.phase == "open", f"{incident}: {swept}"
        before = {name: size(lab, name) for name in names}
        lab.together(names, "nova-ha-recover", "compute1", "--patience", "0s")
        incident = lab.incident_of("compute1")
        claims = [entry["by"] for entry in incident.journal if entry["what"]["event"] == "claimed"]
        assert len(claims) == 1 == len(incident.journal), f"round {number}: {incident.journal}"
        assert incident.holder == claims[0] and incident.phase == "claimed", incident
        in_use = [name for name in names if expect.in_use(lab, name)]
        assert in_use == claims, f"round {number}: {claims} claimed, {in_use} are in use"
        winners[claims[0]] += 1
        # Who lost found it taken already, or was refused by Consul in the very transaction.
        raced += sum("not taken" in said(lab, name, before[name]) for name in names if name != claims[0])
        lab.admin("nova-ha", "incident", "abandon", incident.id, "--by", "lab", "--yes", "compute1")
        if number % 2:
            lab.product(claims[0], "nova-ha-recover")
        gone = () if number % 2 else ("--gone", claims[0])
        lab.admin("nova-ha", "reset", "compute1", "--by", "lab", "--yes", "compute1", *gone)
    print(f"{ROUNDS} claims: {dict(winners)}; {raced} losers were refused by the claim's own transaction")
    assert raced, "no two claims ever met: the rounds did not race"
    assert not lab.shots() and not lab.evacuations() and lab.lives("compute1")


def size(lab, name):
    """How long the output of the HA node's recoveries is by now."""
    log = lab.machine(name).folder / "log" / "together.log"
    return log.stat().st_size if log.exists() else 0


def said(lab, name, begin):
    """What its recovery said since then."""
    with (lab.machine(name).folder / "log" / "together.log").open("rb") as log:
        log.seek(begin)
        return log.read().decode("utf-8", "replace")
