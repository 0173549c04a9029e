"""A host configured with another host's BMC is not fenced by it: that one's identity does not fit, and it lives on."""

from novalab import wait


def run(lab):
    wrong = lab.machine("compute3")
    lab.admin("nova-ha", "host", "add", "compute1", "--replace", "--bmc-ip", wrong.bmc_address)
    lab.panic("compute1")
    incident = lab.wait_incident("compute1", "waiting")
    reasons = " ".join(r for reasons in incident.waiting.values() for r in reasons)
    assert wrong.uuid in reasons.lower() or "identity" in reasons.lower(), reasons
    wait.never("a power command goes to any BMC", lab.shots, 5)
    lab.assert_power("compute3", "on")
    assert lab.lives("compute3") and not lab.evacuations()
