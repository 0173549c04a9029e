"""A dead host whose BMC is dead too is recovered after a person looked and confirmed that it is off."""

from novalab import expect


def run(lab):
    lab.kill_bmc("compute1")
    lab.cut("compute1")
    lab.wait_incident("compute1", "waiting")
    assert not lab.evacuations(), "it waits for that person"
    lab.admin("nova-ha", "confirm-off", "compute1", "--by", "maria", "--ttl", "10m", "--yes", "compute1")
    incident = expect.recovered(lab, "compute1")
    assert "maria" in str(incident.journal), "the journal names who said so"
    assert not lab.shots()
