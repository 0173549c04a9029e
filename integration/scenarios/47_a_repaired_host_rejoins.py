"""`nova-ha rejoin`: a repaired host is given back step by step. While it is off it is refused; once it has booted, Nova settles its
evacuations, forced down is taken back, the service is enabled, the flags are reset last, and no guest runs twice.
"""

from novalab import expect

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 300
SHAPE = {"guests": 6}


def run(lab):
    lab.panic("compute1")
    expect.recovered(lab, "compute1", 120)
    words = ("nova-ha", "rejoin", "compute1", "--by", "maria", "--yes", "compute1")
    refused = lab.admin(*words, "--wait", "0s", check=False)
    assert refused.code == 1 and "next:" in refused.err, refused
    assert lab.flag("compute1", "failed") and lab.cloud.state()["hosts"]["compute1"]["forced_down"]

    lab.power_on("compute1")
    lab.wait_for_agent("compute1")
    guard = expect.guard_says(lab, "compute1")
    assert guard.code == 3 and "nova-ha rejoin compute1" in guard.out, guard
    lab.wait_observed()
    done = lab.admin(*words, "--wait", "60s", "--json", timeout=120).json()
    assert done["outcome"] == "changed" and all(step["done"] for step in done["steps"]), done
    service = lab.cloud.state()["hosts"]["compute1"]
    assert service["up"] and not service["forced_down"] and not service["disabled"], service
    assert not lab.flag("compute1", "failed") and not lab.flag("compute1", "recovered")
    guard = expect.guard_says(lab, "compute1")
    assert guard.code == 0, guard
    statuses = {m["status"] for m in lab.cloud.state()["migrations"] if m["source_compute"] == "compute1"}
    assert statuses == {"completed"}, statuses
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha-mark-failed", "--sweep")
    lab.never_marked_again("compute1", 10)
    assert lab.admin(*words, "--json").json()["outcome"] == "already_so"
