"""The host is off, and Nova's record of it still moves: a living machine has its name, and no guest is evacuated before that one is silent."""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.cut("compute1")
    lab.report_as("compute2", "compute1")
    lab.wait_incident("compute1", "held")
    incident = lab.incident_of("compute1")
    assert "still reports to Nova as compute1" in incident.reason, incident
    assert not incident.events("started", "declare_down"), incident
    assert not lab.cloud.state()["hosts"]["compute1"]["forced_down"]
    wait.never("a guest is evacuated", lab.evacuations, 5)
    # A person finds the machine, and leads on.
    lab.machine("compute2").kill_processes("heartbeat.py")
    lab.start_service("compute2", "nova-compute")
    lab.admin("nova-ha", "incident", "resume", incident.id, "--by", "maria")
    expect.recovered(lab, "compute1")
