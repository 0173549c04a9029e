"""Real Nova: a locked guest moves and is locked as before, two guests of an anti-affinity group end on two hosts, and
a guest that its owner deletes in the middle is accounted for and runs nowhere."""

from novalab import wait

SHAPE = {"cloud": "openstack", "hosts": 3, "ha_nodes": 3, "fences": {}, "guests": 0, "cloud_seed": {"evacuate_seconds": 4}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    group = lab.cloud.api.nova("POST", "/os-server-groups", {"server_group": {"name": "apart", "policy": "anti-affinity"}})
    group = group["server_group"]["id"]
    lab.cloud.set_guests(
        {"name": "locked", "host": "compute1", "locked": True}, {"name": "doomed", "host": "compute1"},
        {"name": "one", "host": "compute1", "group": group}, {"name": "two", "host": "compute2", "group": group})
    # Its new host stands still in the middle of making it. One that went on would have the deleted guest for half an hour: Nova's
    # own doing, which it puts right by itself (running_deleted_instance_poll_interval).
    ref = lab.guests()["doomed"]["id"]
    lab.cloud.api.nova("POST", f"/servers/{ref}/metadata", {"metadata": {"lab:stands_still": "spawn"}})
    lab.cut("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 120)
    wait.until("doomed is being made on its new host", lambda: lab.cloud.hypervisor("stands still"), 60)
    lab.cloud.set_guests({"name": "doomed", "deleted": True})
    incident = lab.wait_incident("compute1", "closed", 180)
    outcomes, guests = incident.outcomes(), lab.guests()
    assert outcomes == {"locked": "recovered", "one": "recovered", "doomed": "excluded"}, f"{outcomes}"
    assert guests["locked"]["locked"] and guests["locked"]["running_on"] == [guests["locked"]["host"]], guests["locked"]
    assert guests["two"]["host"] == "compute2" and guests["one"]["host"] == "compute3", f"the group: {guests}"
    everything = {g["name"]: g for g in lab.cloud.state()["guests"]}
    wait.until("the deleted guest runs nowhere",
               lambda: not {g["name"]: g for g in lab.cloud.state()["guests"]}["doomed"]["running_on"], 30)
    assert everything["doomed"]["deleted"]
