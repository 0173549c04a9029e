"""`recover` is killed right after it began each step, and the same HA node resumes: at once, without shooting itself.

One recovery, seven kills. The HA node lives all the time; nobody may take its power, no guest is evacuated twice.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
# So that an evacuation is not over before the kill, on a busy machine too.
SHAPE = {"cloud_seed": {"evacuate_seconds": 4}}
TIME_LIMIT = 480
STEPS = ("claim", "fence", "declare_down", "take_storage", "ready_target", "evacuate", "verify")


def run(lab):
    lab.panic("compute1")
    hits = 0
    for step in STEPS:
        event = ("claimed",) if step == "claim" else ("started", step)
        incident = lab.wait_journal("compute1", *event, timeout=150)
        killed = lab.kill_recover(incident.holder)
        print(f"{step}: killed {killed} on {incident.holder}")
        lab.machine(incident.holder).spawn("nova-ha-recover", env=lab.admin_env(), log="recover.log")
        # On a busy machine a step, and with the last ones the recovery, may be over before the kill: then nobody was hit.
        hits += killed > 0
        wait.until(f"it is adopted after the kill at {step}", lambda: taken_over(lab, incident.id, hits), 120)
    incident = expect.recovered(lab, "compute1", 90)
    assert lab.lives(incident.holder)
    adoptions = incident.events("adopted")
    # The last kill that hit may find that it has just ended.
    terms = max(entry["term"] for entry in incident.journal)
    assert hits >= len(STEPS) - 1 and terms >= len(STEPS), f"hit {hits} times, term {terms}: {adoptions}"
    assert all(a["from"] == incident.holder and "same_node" in str(a["ground"]) for a in adoptions), adoptions


def taken_over(lab, incident, hits):
    now = lab.incident(incident)
    return max(entry["term"] for entry in now.journal) > hits or now.state != "active"
