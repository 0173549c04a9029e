"""A host configured with another host's BMC is not fenced by it: that one's identity does not fit, and it lives on."""

from novalab import wait


def run(lab):
    wrong = lab.machine("compute3")
    lab.admin("nova-ha", "host", "add", "compute1", "--replace", "--bmc-ip", wrong.bmc_address)
    lab.panic("compute1")
    lab.wait_incident("compute1", "waiting")
    # An HA node whose look at the BMC was cut short says that first, and this when it looks again.
    wait.until("an HA node names the identity that does not fit", lambda: wrong.uuid in reasons(lab).lower(), 90)
    wait.never("a power command goes to any BMC", lab.shots, 5)
    lab.assert_power("compute3", "on")
    assert lab.lives("compute3") and not lab.evacuations()


def reasons(lab):
    """All that the HA nodes say under its incident about why they cannot take it."""
    return " ".join(reason for said in lab.incident_of("compute1").waiting.values() for reason in said)
