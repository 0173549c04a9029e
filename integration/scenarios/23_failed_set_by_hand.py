"""`status/failed` set by hand, as with the original: a dead host is recovered, a living one waits for a person's word."""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.consul.put("ha_cluster/compute_nodes/compute3/status/failed", "True")
    for node in lab.ha_nodes:
        lab.recover(node.name)
    wait.never("the living host is shot", lambda: lab.shots("compute3"), 10)
    assert lab.lives("compute3") and not lab.evacuations()
    lab.consul.put("ha_cluster/compute_nodes/compute3/status/failed", "False")
    lab.admin("nova-ha", "maintenance", "on", "compute1")
    lab.panic("compute1")
    lab.wait_for_agent("compute1", "critical")
    lab.admin("nova-ha", "maintenance", "off", "compute1")
    lab.consul.put("ha_cluster/compute_nodes/compute1/status/failed", "True")
    for node in lab.ha_nodes:
        lab.recover(node.name)
    expect.recovered(lab, "compute1", 60)
