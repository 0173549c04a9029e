"""What several scenarios expect in the same words. Each fails with what was found instead."""

from novalab import wait


def recovered(lab, host, timeout=180):
    """The host's incident closes, every guest that it had runs elsewhere, no other guest moved; returns the incident."""
    before = {name: guest["history"][0]["host"] for name, guest in lab.guests().items()}
    incident = lab.wait_incident(host, "closed", timeout)
    lab.assert_power(host, "off")
    service = lab.cloud.state()["hosts"][host]
    assert service["forced_down"] and service["disabled"], f"Nova's service of {host} is {service}"
    outcomes = incident.outcomes()
    after = lab.guests()
    for name, home in before.items():
        guest = after[name]
        if home != host:
            assert guest["host"] == home, f"{name} was on {home}, which lives, and is on {guest['host']}"
            continue
        assert outcomes.get(name) == "recovered", f"{name} is {outcomes.get(name, 'unaccounted')}"
        # Nobody tells the cloud that a machine died; it goes on counting the guest there until that machine boots.
        running = [machine for machine in guest["running_on"] if lab.lives(machine)]
        # A guest that was stopped has moved and runs nowhere.
        runs = {"active": [guest["host"]], "stopped": []}.get(guest["vm_state"])
        assert guest["host"] != host and running == runs, f"{name}: {guest}"
        assert guest["disk"] == "original", f"{name} lost its disk: {guest['disk']}"
    assert lab.flag(host, "failed") is True and lab.flag(host, "recovered") is True
    return incident


def untouched(lab):
    """Nobody was marked, shot or evacuated."""
    assert not lab.incident_ids(), f"incidents: {[str(lab.incident(i)) for i in lab.incident_ids()]}"
    assert not lab.shots(), f"shots: {lab.shots()}"
    assert not lab.evacuations(), f"evacuations: {lab.evacuations()}"
    for machine in lab.machines.values():
        assert not lab.flag(machine.name, "failed"), f"{machine.name} is marked failed"


def in_use(lab, node):
    """The HA node's `in_use`, read from Consul."""
    return (lab.consul.get(f"ha_cluster/ha_nodes/{node}/status/in_use") or "False").strip().lower() in ("true", "1", "yes", "t")


def holder_dies_in_mid_evacuation(lab, host):
    """The host dies, and once an evacuation of it was posted the HA node that recovers it loses its power; returns that one."""
    lab.panic(host)
    lab.wait_journal(host, "started", "evacuate", 90)
    wait.until("an evacuation was posted", lab.evacuations, 30)
    holder = lab.incident_of(host).holder
    lab.cut(holder)
    return holder


def adopted(lab, host, holder, timeout=180):
    """Another HA node adopts the host's incident at a sweep, because the observers vote its holder dead; returns the incident."""
    incident = lab.wait_journal(host, "adopted", timeout=timeout)
    event = incident.events("adopted")[0]
    assert event["from"] == holder and incident.holder != holder, f"{event}: {incident}"
    assert "holder_dead" in event["ground"], f"adopted on another ground: {event}"
    return incident
