"""Real Nova: guests in every state that it can be brought into die with their host, and each ends as docs/guests.md says.

Also what was under way in them, and what was asked for in the seconds between the host's death and Nova's noticing it:
those tasks stay set for ever. Two end held: one in the middle of a resize, one in the middle of a live migration. A person
looks, says so to Nova, and they are recovered too.
"""

from novalab import wait

ON, OTHER = "compute1", "compute2"
# On compute1 as a resize left it, from compute2, is `resized`; in the state that Nova puts it into, the others.
STATES = {
    "runs": {}, "stopped": {"vm_state": "stopped"}, "error": {"vm_state": "error"}, "paused": {"vm_state": "paused"},
    "rescued": {"vm_state": "rescued"}, "suspended": {"vm_state": "suspended"}, "locked": {"locked": True, "locked_reason": "mine"},
    "opted-out": {"metadata": {"HA_Enabled": "False"}}, "urgent": {"metadata": {"instanceha:restart_priority": "500"}},
    "rebooting": {}, "stopping": {}, "deleting": {}, "sealed": {},
    "resizing": {"metadata": {"lab:stands_still": "migrate"}}, "moving": {"metadata": {"lab:stands_still": "live"}},
}
# In the middle of it the host dies: the action that Nova is asked for, its version, and the task that says so.
UNDER_WAY = {
    "resizing": ({"migrate": {"host": OTHER}}, "2.56", "resize_migrating"),
    "moving": ({"os-migrateLive": {"host": OTHER, "block_migration": "auto"}}, "2.30", "migrating"),
}
# Posted after the power cut, while Nova still takes the host for up: vm_state active, and a task that nobody ends.
TASKS = {"rebooting": ("POST", {"reboot": {"type": "HARD"}}), "stopping": ("POST", {"os-stop": None}), "deleting": ("DELETE", None)}
# The outcome in the ledger, and Nova's vm_state in the end.
ENDS = {
    "runs": ("recovered", "active"), "stopped": ("recovered", "stopped"), "error": ("recovered", "active"),
    "paused": ("recovered", "stopped"), "rescued": ("recovered", "stopped"), "suspended": ("refused", "suspended"),
    "resized": ("refused", "resized"), "locked": ("recovered", "active"), "opted-out": ("excluded", "active"),
    "urgent": ("recovered", "active"), "rebooting": ("recovered", "active"), "stopping": ("recovered", "active"),
    "deleting": ("excluded", "active"), "building": ("refused", "building"),
    "resizing": ("held", "active"), "moving": ("held", "active"), "sealed": ("refused", "active"),
}
# No host here has a TPM, so none can be created with one: Nova reads this of a guest's image when it is asked to evacuate.
TPM = ("INSERT INTO nova.instance_system_metadata (created_at, deleted, `key`, value, instance_uuid) "
       "VALUES (NOW(), 0, 'image_hw_tpm_version', '2.0', '{}');")
SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "fences": {}, "guests": 0}
MAY_BE_SHOT = [ON]
TIME_LIMIT = 420


def run(lab):
    cloud = lab.cloud
    cloud.set_guests(*({"name": name, "host": ON, **less_urgent(state)} for name, state in STATES.items()), {"name": "resized", "host": OTHER})
    ids = {row["name"]: row["id"] for row in cloud.servers()}
    cloud.plane.sql(TPM.format(ids["sealed"]))
    cloud.act(ids["resized"], {"migrate": {"host": ON}}, "2.56")
    wait.until("the resize waits to be confirmed", lambda: lab.guests()["resized"]["vm_state"] == "resized", 90, 0.5)
    assert lab.guests()["resized"]["host"] == ON, lab.guests()["resized"]
    cloud.begin_guest({"name": "building", "host": ON, "metadata": {"lab:stands_still": "spawn"}})
    for name, (action, version, _) in UNDER_WAY.items():
        cloud.act(ids[name], action, version)
    wait.until("three guests stand still", lambda: len(cloud.hypervisor("stands still")) == 3, 90, 0.5)

    lab.cut(ON)
    for name, (method, body) in TASKS.items():
        cloud.api.nova(method, f"/servers/{ids[name]}" + ("/action" if body else ""), body)
    guests = lab.guests()
    tasks = {name: guests[name]["task_state"] for name in (*TASKS, *UNDER_WAY, "building")}
    assert all(tasks.values()), f"Nova noticed the death too early for this test: {tasks}"
    assert all(tasks[name] == task for name, (_, _, task) in UNDER_WAY.items()), tasks
    print(f"left by the dead host: {tasks}")

    incident = lab.wait_incident(ON, "closed", 240)
    check(lab, incident, ENDS)
    why = incident.guests["moving"]["state"]["why"]
    assert OTHER in why and "running" in why, why
    assert "vTPM" in incident.guests["sealed"]["state"]["why"], incident.guests["sealed"]
    assert lab.guests()["locked"]["locked"], "its lock is gone"
    assert lab.evacuations()[0]["guest"] == "urgent", f"asked for first: {lab.evacuations()[0]}"

    # She looked: the one's disk is whole, the other does not run on its destination.
    for name in UNDER_WAY:
        cloud.act(ids[name], {"os-resetState": {"state": "active"}})
    lab.admin("nova-ha", "incident", "retry", incident.id, "--by", "maria")
    check(lab, wait.until("the two are recovered", lambda: is_done(lab), 180), {**ENDS, **dict.fromkeys(UNDER_WAY, ("recovered", "active"))})


def is_done(lab):
    """The incident, closed again with nobody held."""
    incident = lab.incident_of(ON)
    return incident if incident.state == "closed" and "held" not in incident.outcomes().values() else None


def less_urgent(state):
    """A tenant may lower his guests' urgency, and not raise it: all but the one are lowered."""
    return {**state, "metadata": {"instanceha:restart_priority": "100", **state.get("metadata", {})}}


def check(lab, incident, ends):
    """Each guest as the ledger, Nova and the hypervisors have it."""
    outcomes, guests = incident.outcomes(), lab.guests()
    for name, (outcome, vm_state) in ends.items():
        guest = guests[name]
        assert outcomes.get(name) == outcome, f"{name} is {outcomes.get(name, 'unaccounted')}, not {outcome}: {incident.guests.get(name)}"
        assert guest["vm_state"] == vm_state, f"{name}: {guest}"
        assert (guest["host"] == OTHER) == (outcome == "recovered"), f"{name}: {guest}"
        runs = [OTHER] if (outcome, vm_state) == ("recovered", "active") else []
        assert [m for m in guest["running_on"] if lab.lives(m)] == runs, f"{name}: {guest}"
        assert guest["disk"] == "original", f"{name}: {guest}"
