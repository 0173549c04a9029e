"""Guests in every state die with their host: each ends as docs/guests.md says, and the held one waits for a person.

A paused and a rescued guest are reset, evacuated and stopped; a stopped one stays so; a locked one is as locked as before;
one that may run on the destination of its live migration is held until a person has looked.
"""

from novalab import wait

MAY_BE_SHOT = ["compute1"]
SHAPE = {"guests": 0}

ON = "compute1"
STATES = {
    "runs": {},
    "stopped": {"vm_state": "stopped", "power_state": 4},
    "error": {"vm_state": "error", "power_state": 1},
    "error-off": {"vm_state": "error", "power_state": 4},
    "paused": {"vm_state": "paused", "power_state": 3},
    "rescued": {"vm_state": "rescued", "power_state": 1},
    "suspended": {"vm_state": "suspended", "power_state": 4},
    "resized": {"vm_state": "resized", "power_state": 1},
    "building": {"vm_state": "building", "power_state": 0, "launched": False},
    "shelved": {"vm_state": "shelved", "power_state": 4},
    "locked": {"locked": True, "locked_reason": "mine"},
    "rebooting": {"task_state": "rebooting_hard"},
    "deleting": {"task_state": "deleting"},
    "resizing": {"task_state": "resize_migrating"},
    "queued": {"task_state": "migrating"},
    "moving": {"task_state": "migrating"},
}
# What each becomes: its outcome in the ledger, and its vm_state in Nova.
ENDS = {
    "runs": ("recovered", "active"), "stopped": ("recovered", "stopped"), "error": ("recovered", "active"),
    "error-off": ("recovered", "stopped"), "paused": ("recovered", "stopped"), "rescued": ("recovered", "stopped"),
    "suspended": ("refused", "suspended"), "resized": ("refused", "resized"), "building": ("refused", "building"),
    "shelved": ("refused", "shelved"), "locked": ("recovered", "active"), "rebooting": ("recovered", "active"),
    "deleting": ("excluded", "active"), "resizing": ("held", "active"), "queued": ("recovered", "active"),
    "moving": ("held", "active"),
}


def check(lab, ends, outcomes):
    guests = lab.guests()
    for name, (outcome, vm_state) in ends.items():
        assert outcomes.get(name) == outcome, f"{name} is {outcomes.get(name, 'unaccounted')}, not {outcome}"
        guest = guests[name]
        assert guest["vm_state"] == vm_state, f"{name}: {guest}"
        assert (guest["host"] != ON) == (outcome == "recovered"), f"{name}: {guest}"
        assert guest["disk"] == "original", f"{name}: {guest}"


def run(lab):
    lab.cloud.set_guests(*({"name": name, "host": ON, **state} for name, state in STATES.items()))
    lab.cloud.door("POST", "moves", [
        {"guest": "queued", "status": "queued", "dest": "compute2"},
        {"guest": "moving", "status": "running", "dest": "compute2"},
    ])
    lab.cut(ON)
    # Those that are held for their own state hold nobody else.
    incident = lab.wait_incident(ON, "closed", 180)
    check(lab, ENDS, incident.outcomes())
    assert lab.guests()["locked"]["locked"], "its lock is gone"
    # Nothing was asked of Nova for a guest that nobody can tell about.
    asked = {post["guest"] for post in lab.cloud.state()["evacuate_posts"]}
    assert asked == {name for name, (outcome, _) in ENDS.items() if outcome == "recovered"}, asked
    # A person looked: neither is running anywhere else. She clears what Nova thinks is being done, and has them retried.
    lab.cloud.set_guests({"name": "moving", "task_state": None}, {"name": "resizing", "task_state": None})
    lab.admin("nova-ha", "incident", "retry", incident.id, "--by", "maria")
    incident = wait.until("the two are recovered", lambda: is_done(lab), 180)
    check(lab, {**ENDS, "moving": ("recovered", "active"), "resizing": ("recovered", "active")}, incident.outcomes())


def is_done(lab):
    """The incident, closed again with nobody held."""
    incident = lab.incident_of(ON)
    return incident if incident.state == "closed" and "held" not in incident.outcomes().values() else None
