"""A host that somebody powers on after it was fenced ends the recovery as held: no guest is evacuated while it is on.

`recover` was killed right after the fence, so what the journal says is *fenced*; only a fresh reading counts. It is not
shot a second time: a person powers it off and resumes, and then its guests run elsewhere.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    # So that there is time to kill it between the fence and the first evacuation.
    lab.cloud.fault(method="PUT", path="os-services", action="delay", seconds=5)
    lab.panic("compute1")
    incident = lab.wait_journal("compute1", "finished", "fence", 90)
    assert lab.kill_recover(incident.holder), "recover had ended already"
    shots = len(lab.shots())
    lab.power_on("compute1")
    posted = lab.evacuations()
    assert not posted, f"too late, guests are on their way: {posted}"
    wait.until("it lives", lambda: lab.lives("compute1"), 20)
    for node in lab.ha_nodes:
        lab.recover(node.name)
    incident = lab.wait_incident("compute1", "held", 60)
    assert "on again" in incident.reason, incident
    for node in lab.ha_nodes:
        lab.recover(node.name)
    wait.never("its guests are evacuated, or it is shot", lambda: lab.evacuations() or lab.shots()[shots:], 5)
    assert lab.lives("compute1")
    # What a person does: power off by hand, and go on.
    lab.cut("compute1")
    lab.admin("nova-ha", "incident", "resume", incident.id, "--by", "maria")
    expect.recovered(lab, "compute1", 90)
    assert len(lab.shots()) == shots, lab.shots()[shots:]
