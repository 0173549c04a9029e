"""A host that panicked with its power on is shot by IPMI, and every guest of it runs elsewhere.

The power really was on before: the machine is dead and its latch is not, so a fence that only believes is found out.
"""

from novalab import expect

MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.panic("compute1")
    incident = expect.recovered(lab, "compute1")
    shots = lab.shots("compute1")
    assert shots and all(s["via"] == "ipmi" and s["what"] == "off" for s in shots), shots
    assert incident.events("finished", "fence")[0]["outcome"] == "changed", incident.events("finished", "fence")
    assert not expect.in_use(lab, incident.holder), "shared storage consumes no HA node"
