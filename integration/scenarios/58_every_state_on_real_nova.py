"""Real Nova: guests in every state that it can be brought into die with their host, and each ends as docs/guests.md says.

Also what was asked for in the seconds between the host's death and Nova's noticing it: those tasks stay set for ever.
"""

from novalab import wait

ON = "compute1"
# On compute1 as a resize left it, from compute2, is `resized`; in the state that Nova puts it into, the others.
STATES = {
    "runs": {}, "stopped": {"vm_state": "stopped"}, "error": {"vm_state": "error"}, "paused": {"vm_state": "paused"},
    "rescued": {"vm_state": "rescued"}, "suspended": {"vm_state": "suspended"}, "locked": {"locked": True, "locked_reason": "mine"},
    "opted-out": {"metadata": {"HA_Enabled": "False"}}, "urgent": {"metadata": {"instanceha:restart_priority": "900"}},
    "rebooting": {}, "stopping": {}, "deleting": {},
}
# Posted after the power cut, while Nova still takes the host for up: vm_state active, and a task that nobody ends.
TASKS = {"rebooting": ("POST", {"reboot": {"type": "HARD"}}), "stopping": ("POST", {"os-stop": None}), "deleting": ("DELETE", None)}
# The outcome in the ledger, and Nova's vm_state in the end.
ENDS = {
    "runs": ("recovered", "active"), "stopped": ("recovered", "stopped"), "error": ("recovered", "active"),
    "paused": ("recovered", "stopped"), "rescued": ("recovered", "stopped"), "suspended": ("refused", "suspended"),
    "resized": ("refused", "resized"), "locked": ("recovered", "active"), "opted-out": ("excluded", "active"),
    "urgent": ("recovered", "active"), "rebooting": ("recovered", "active"), "stopping": ("recovered", "active"),
    "deleting": ("excluded", "active"),
}
SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "fences": {}, "guests": 0}
MAY_BE_SHOT = [ON]
TIME_LIMIT = 420


def run(lab):
    cloud = lab.cloud
    cloud.set_guests(*({"name": name, "host": ON, **state} for name, state in STATES.items()), {"name": "resized", "host": "compute2"})
    ids = {row["name"]: row["id"] for row in cloud.servers()}
    cloud.act(ids["resized"], {"migrate": {"host": ON}}, "2.56")
    wait.until("the resize waits to be confirmed", lambda: lab.guests()["resized"]["vm_state"] == "resized", 90, 0.5)
    assert lab.guests()["resized"]["host"] == ON, lab.guests()["resized"]

    lab.cut(ON)
    for name, (method, body) in TASKS.items():
        cloud.api.nova(method, f"/servers/{ids[name]}" + ("/action" if body else ""), body)
    tasks = {name: lab.guests()[name]["task_state"] for name in TASKS}
    assert all(tasks.values()), f"Nova noticed the death too early for this test: {tasks}"
    print(f"left by the dead host: {tasks}")

    incident = lab.wait_incident(ON, "closed", 240)
    outcomes, guests = incident.outcomes(), lab.guests()
    for name, (outcome, vm_state) in ENDS.items():
        guest = guests[name]
        assert outcomes.get(name) == outcome, f"{name} is {outcomes.get(name, 'unaccounted')}, not {outcome}: {incident.guests.get(name)}"
        assert guest["vm_state"] == vm_state, f"{name}: {guest}"
        assert (guest["host"] == "compute2") == (outcome == "recovered"), f"{name}: {guest}"
        runs = ["compute2"] if (outcome, vm_state) == ("recovered", "active") else []
        assert [m for m in guest["running_on"] if lab.lives(m)] == runs, f"{name}: {guest}"
        assert guest["disk"] == "original", f"{name}: {guest}"
    assert guests["locked"]["locked"], "its lock is gone"
    assert lab.evacuations()[0]["guest"] == "urgent", f"asked for first: {lab.evacuations()[0]}"
