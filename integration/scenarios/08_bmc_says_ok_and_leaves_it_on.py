"""A BMC that says OK and leaves the host on is found out: no guest is evacuated while the power reads on."""

from novalab import wait

MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.stick_bmc("compute1")
    lab.panic("compute1")
    lab.wait_journal("compute1", "started", "fence")
    wait.until("the BMC was told", lambda: lab.shots("compute1"), 20)
    wait.never("a guest is evacuated", lab.evacuations, 15)
    incident = lab.incident_of("compute1")
    assert not incident.events("finished", "fence"), incident
    word = lab.admin("nova-ha", "confirm-off", "compute1", "--by", "maria", "--yes", "compute1", check=False)
    assert word.code == 1 and "says that it is on" in word.err, word
    assert incident.state in ("active", "held"), incident
    assert not lab.cloud.state()["hosts"]["compute1"]["forced_down"]
