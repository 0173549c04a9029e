"""Three hosts die with the limit at three and two free HA nodes: two are recovered at once, the third is Waiting, and says why.

Each HA node's reason is in `nova-ha incident show`; the first HA node that is free again recovers the third by itself. The
one that a person keeps in use takes part in nothing but the votes.
"""

from novalab import expect, wait

DEAD = ("compute1", "compute3", "compute4")
MAY_BE_SHOT = list(DEAD)
# By default three of four hosts are a storm (scenario 17), and none is recovered. Evacuations are slow: while two HA nodes work,
# there is time to read why the third incident waits.
SHAPE = {"hosts": 4, "guests": 12, "policy": {"storm_limit": "3"}, "cloud_seed": {"evacuate_seconds": 12}}
TIME_LIMIT = 200


def run(lab):
    lab.consul.put("ha_cluster/ha_nodes/ha3/status/in_use", "True")
    for host in DEAD:
        lab.panic(host)
    third = wait.until("two are claimed, and all HA nodes say why they do not take the third", lambda: waiting(lab), 90)
    shown = lab.admin("nova-ha", "incident", "show", third.id, check=False).out
    shown = " ".join(shown.split())
    for node in lab.ha_nodes:
        assert f"WAITING: {node.name} since" in shown and f"HA node {node.name} is in use" in shown, shown
    view = lab.admin("nova-ha", "incident", "show", third.id, "--json", check=False)
    assert view.code == 3 and view.json()["summary"]["state"] == "waiting", view
    assert not lab.shots(third.host) and not lab.flag(third.host, "recovered"), "it was touched while it waited"
    incidents = {host: lab.wait_incident(host, "closed", 120) for host in DEAD}
    for incident in incidents.values():
        lab.assert_power(incident.host, "off")
        assert len(incident.guests) == 3 and set(incident.outcomes().values()) == {"recovered"}, incident.guests
    assert not [g["name"] for g in lab.guests().values() if g["host"] in DEAD]
    assert {i.holder for i in incidents.values()} == {"ha1", "ha2"}, incidents
    last = incidents.pop(third.host)
    assert not last.notes, f"it is recovered and still says that it waits: {last}"
    before = next(i for i in incidents.values() if i.holder == last.holder)
    assert last.journal[0]["at"] > before.journal[-1]["at"], f"{last.holder} took {last} before it had ended {before}"
    assert expect.in_use(lab, "ha3") and not expect.in_use(lab, "ha1") and not expect.in_use(lab, "ha2")


def waiting(lab):
    """The third incident, once the other two are claimed and every HA node has its note under it."""
    incidents = [lab.incident_of(host) for host in DEAD]
    if not all(incidents) or sum(1 for i in incidents if i.holder) != 2:
        return None
    third = next(i for i in incidents if not i.holder)
    return third if set(third.waiting) == {node.name for node in lab.ha_nodes} else None
