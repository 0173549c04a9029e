"""The HA node that claimed an incident loses its power before the fence: another adopts it once that node is voted dead.

Nobody shoots the dead HA node, the host is shot by the adopter alone, and the term tells the two claims apart.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
# Whoever claims listens for 10 s whether a dump is announced before it shoots: time enough to cut its power.
SHAPE = {"policy": {"kdump_grace": "30s", "kdump_listen": "10s"}}
TIME_LIMIT = 300


def run(lab):
    lab.panic("compute1")
    claimed = lab.wait_journal("compute1", "claimed", timeout=60)
    lab.cut(claimed.holder)
    assert not lab.shots() and not lab.incident_of("compute1").events("started"), "too late: the fence had begun"
    dead, others = claimed.holder, [n.name for n in lab.ha_nodes if n.name != claimed.holder]
    # Until it is voted dead it has the incident, and nobody else acts.
    lab.wait_for_agent(dead, "critical")

    def adopted():
        for node in others:
            # What the periodic sweep does.
            lab.machine(node).exec("start-recover", "--ha-node", node, env=lab.admin_env(), check=True)
        found = lab.incident_of("compute1")
        return found if found.events("adopted") else None

    incident = wait.until("another HA node adopted it", adopted, 90, 3)
    assert incident.holder in others, incident
    incident = expect.recovered(lab, "compute1", 120)
    adoption = incident.events("adopted")
    assert len(adoption) == 1 and adoption[0]["from"] == dead and "holder_dead" in str(adoption[0]["ground"]), adoption
    started = [e for e in incident.journal if e["what"]["event"] == "started"]
    assert {e["by"] for e in started} == {incident.holder}, started
    assert started[0]["term"] > incident.journal[0]["term"], (incident.journal[0], started[0])
    # One order: ipmitool sends it again where the BMC does not answer within a second.
    at = [shot["at"] for shot in lab.shots("compute1")]
    assert at and max(at) - min(at) < 5, lab.shots()
    assert not expect.in_use(lab, dead) and not expect.in_use(lab, incident.holder)
