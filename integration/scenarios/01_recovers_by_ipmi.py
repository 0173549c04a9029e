"""A host that panicked with its power on is shot by IPMI, and every guest of it runs elsewhere.

The power really was on before: the machine is dead and its latch is not, so a fence that only believes is found out.
While its probes are critical, another service of the HA nodes stays where its users find it.
"""

from novalab import expect, wait
from novalab.consul import OTHER_SERVICE

MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.panic("compute1")
    incident = expect.recovered(lab, "compute1")
    shots = lab.shots("compute1")
    assert shots and all(s["via"] == "ipmi" and s["what"] == "off" for s in shots), shots
    assert incident.events("finished", "fence")[0]["outcome"] == "changed", incident.events("finished", "fence")
    assert not expect.in_use(lab, incident.holder), "shared storage consumes no HA node"
    nodes = [node.name for node in lab.ha_nodes]
    wait.until("every probe of the dead host is critical",
               lambda: all(lab.consul.checks(node)["nova-ha-probe:compute1"][0] == "critical" for node in nodes), 30, 0.3)
    assert lab.consul.passing(OTHER_SERVICE) == sorted(nodes), lab.consul.passing(OTHER_SERVICE)
