"""Real Nova: a recovered host is repaired, boots, and `nova-ha rejoin` gives it back. Its nova-compute reports while it is forced
down, settles the evacuations (`done` becomes `completed`), then forced down is taken back and the service enabled; no guest is
lost or runs twice. Before the claim placement said that there was room.
"""

import json

from novalab import expect

SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 1, "fences": {},
         "cloud_seed": {"guests": [{"name": name, "host": "compute1"} for name in ("vm-01", "vm-02")]}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600


def run(lab):
    lab.cut("compute1")
    incident = expect.recovered(lab, "compute1", 180)
    plan = json.loads(lab.consul.get(f"ha_cluster/incidents/{incident.id}/plan/000"))
    assert plan["capacity"] == "placement has room for all 2", plan
    assert {guest["room"] for guest in plan["guests"]} == {"fits"}, plan
    statuses = {m["status"] for m in lab.cloud.state()["migrations"]}
    assert statuses == {"done"}, statuses

    lab.power_on("compute1")
    lab.wait_for_agent("compute1")
    lab.wait_observed()
    done = lab.admin("nova-ha", "rejoin", "compute1", "--by", "maria", "--yes", "compute1", "--wait", "120s", "--json",
                     timeout=180).json()
    assert done["outcome"] == "changed" and all(step["done"] for step in done["steps"]), done
    state = lab.cloud.state()
    assert {m["status"] for m in state["migrations"]} == {"completed"}, state["migrations"]
    service = state["hosts"]["compute1"]
    assert not service["forced_down"] and not service["disabled"], service
    assert not lab.flag("compute1", "failed") and not lab.flag("compute1", "recovered")
    for guest in state["guests"]:
        assert guest["running_on"] == [guest["host"]] and guest["host"] == "compute2", guest
        assert guest["disk"] == "original", guest
