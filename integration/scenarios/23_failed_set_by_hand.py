"""`status/failed` set by hand, as with the original: a dead host is recovered, a living one waits for a person's word.

No incident comes with such a flag: the sweep on the HA nodes opens one, and the observers are asked before the shot.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    lab.consul.put("ha_cluster/compute_nodes/compute3/status/failed", "True")
    sweep(lab)
    incident = lab.wait_incident("compute3", timeout=30)
    assert incident.record["origin"]["from"] == "key", incident.record
    wait.until("an HA node says why it waits", lambda: waits(lab.incident_of("compute3")), 90)
    wait.never("the living host is shot", lambda: lab.shots("compute3") or lab.evacuations(), 10)
    assert lab.lives("compute3")
    # Whoever waits with it notices a hold at once, and leaves it to the person.
    lab.admin("nova-ha", "incident", "hold", incident.id, "--reason", "it lives", "--by", "maria")
    wait.until("nobody works on it", lambda: lab.incident_of("compute3").lock_session is None, 30)
    lab.admin("nova-ha", "incident", "abandon", incident.id, "--by", "maria", "--yes", "compute3")
    lab.wait_observed()
    lab.admin("nova-ha", "reset", "compute3", "--by", "maria", "--yes", "compute3")
    assert not lab.flag("compute3", "failed") and not lab.flag("compute3", "recovered")
    # Maintenance, so that the observers do not mark the dead one before the flag is there.
    lab.admin("nova-ha", "maintenance", "on", "compute1", "--by", "maria")
    lab.panic("compute1")
    lab.wait_for_agent("compute1", "critical")
    lab.consul.put("ha_cluster/compute_nodes/compute1/status/failed", "True")
    lab.admin("nova-ha", "maintenance", "off", "compute1", "--by", "maria")
    sweep(lab)
    incident = expect.recovered(lab, "compute1", 120)
    assert incident.record["origin"]["from"] == "key", incident.record
    assert lab.lives("compute3") and not lab.shots("compute3")


def waits(incident):
    """Whether an HA node claimed it and waits: it is seen alive, or there are no votes, or its agent answers."""
    return incident.holder and incident.phase == "claimed" and incident.waiting.get(incident.holder)


def sweep(lab):
    """What runs on every HA node twice a minute."""
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha-mark-failed", "--sweep")
