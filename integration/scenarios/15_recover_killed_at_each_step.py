"""`recover` is killed right after it began each step, and the same HA node resumes: at once, without shooting itself.

One recovery, seven kills. The HA node lives all the time; nobody may take its power, no guest is evacuated twice.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 300
STEPS = ("claim", "fence", "declare_down", "take_storage", "ready_target", "evacuate", "verify")


def run(lab):
    lab.panic("compute1")
    for step in STEPS:
        event = ("claimed",) if step == "claim" else ("started", step)
        incident = lab.wait_journal("compute1", *event, timeout=60)
        killed = lab.kill_recover(incident.holder)
        print(f"{step}: killed {killed} on {incident.holder}")
        wait.until("no recover is left", lambda: not lab.machine(incident.holder).processes("nova-ha-recover"), 5)
        lab.machine(incident.holder).spawn("nova-ha-recover", env=lab.admin_env(), log="recover.log")
    incident = expect.recovered(lab, "compute1", 90)
    assert lab.lives(incident.holder)
