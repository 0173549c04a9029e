"""A host that comes back while its incident still waits for a fence is not shot: the incident ends as withdrawn."""

from novalab import wait

TIME_LIMIT = 420


def run(lab):
    lab.kill_bmc("compute1")
    lab.unplug("compute1")
    # Detection takes 10 s at least, and a fence is given up after 60 s (fence_deadline).
    lab.wait_incident("compute1", "waiting", 150)
    lab.replug("compute1")
    lab.wait_for_agent("compute1")
    lab.wait_observed()
    lab.revive_bmc("compute1")
    for node in lab.ha_nodes:
        lab.recover(node.name)
    lab.wait_incident("compute1", "withdrawn", 60)
    wait.never("it is shot or evacuated", lambda: lab.shots() or lab.evacuations(), 5)
    assert lab.flag("compute1", "failed"), "its flags stay for the administrator"
