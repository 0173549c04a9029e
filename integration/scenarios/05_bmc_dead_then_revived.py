"""A dead host whose BMC does not answer is left alone, loudly; when the BMC answers again the recovery goes on by itself.

While it waits nothing irreversible has happened: no flag beyond `failed`, no evacuation, no HA node in use.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]


def run(lab):
    # Consul holds a text back for minutes where the word beside it is the same: the check has to have been well before.
    wait.until("every HA node's sweep has run", lambda: all(
        lab.consul.checks(node.name)["nova-ha-mark-failed"][0] == "passing" for node in lab.ha_nodes), 60, 0.5)
    lab.kill_bmc("compute1")
    lab.panic("compute1")
    incident = lab.wait_incident("compute1", "waiting")
    assert all(reasons for reasons in incident.waiting.values()), incident
    assert lab.flag("compute1", "failed") and not lab.flag("compute1", "recovered")
    assert not lab.evacuations() and not lab.shots()
    assert not any(expect.in_use(lab, node.name) for node in lab.ha_nodes)
    shown = lab.admin("nova-ha", "status", check=False)
    assert shown.code == 3 and f"{incident.id}  WAITING" in shown.out, shown

    def alarmed(node):
        status, output = lab.consul.checks(node.name)["nova-ha-mark-failed"]
        return status == "warning" and f"incident {incident.id}: WAITING" in " ".join(output.split())

    wait.until("within one sweep Consul's check is a warning on every HA node",
               lambda: all(alarmed(node) for node in lab.ha_nodes), 60, 0.5)
    lab.revive_bmc("compute1")
    # Nobody calls: the periodic sweep finds it.
    expect.recovered(lab, "compute1")
