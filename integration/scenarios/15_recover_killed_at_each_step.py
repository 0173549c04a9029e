"""`recover` is killed right after it began each step, and the same HA node resumes: at once, without shooting itself.

One recovery, seven kills. The HA node lives all the time; nobody may take its power, no guest is evacuated twice.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 480
STEPS = ("claim", "fence", "declare_down", "take_storage", "ready_target", "evacuate", "verify")


def run(lab):
    lab.panic("compute1")
    kills = 0
    for step in STEPS:
        event = ("claimed",) if step == "claim" else ("started", step)
        incident = lab.wait_journal("compute1", *event, timeout=150)
        killed = lab.kill_recover(incident.holder)
        print(f"{step}: killed {killed} on {incident.holder}")
        lab.machine(incident.holder).spawn("nova-ha-recover", env=lab.admin_env(), log="recover.log")
        kills += 1
        # Each kill meets a process that holds the incident: the one after it has taken over, or found it closed.
        wait.until(f"it is adopted after the kill at {step}", lambda: taken_over(lab, incident.id, kills), 120)
    incident = expect.recovered(lab, "compute1", 90)
    assert lab.lives(incident.holder)
    adoptions = incident.events("adopted")
    # The last kill may find that it has just ended.
    assert len(adoptions) >= len(STEPS) - 1, f"killed {kills} times: {adoptions}"
    assert all(a["from"] == incident.holder and "same_node" in str(a["ground"]) for a in adoptions), adoptions


def taken_over(lab, incident, kills):
    now = lab.incident(incident)
    return len(now.events("adopted")) >= kills or now.state != "active"
