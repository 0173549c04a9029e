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
    def by_another():
        found = lab.incident_of(host)
        assert found and adoption(found), f"no other HA node has adopted {found}"
        return found

    incident = wait.until(f"the incident of {host} is adopted", by_another, timeout)
    event = adoption(incident)["what"]
    assert event["from"] == holder and incident.holder != holder, f"{event}: {incident}"
    assert "holder_dead" in event["ground"], f"adopted on another ground: {event}"
    return incident


def adoption(incident):
    """The journal's entry of its first adoption by another HA node, if any; a run that ends early is gone on with by its own."""
    return next((entry for entry in incident.journal
                 if entry["what"]["event"] == "adopted" and entry["what"]["ground"] != "same_node"), None)


def guard_says(lab, host, *words):
    """What the host's boot guard says, asked once; where it cannot tell (exit 1: one slow answer of Consul is enough), again."""
    def said():
        done = lab.product(host, "nova-ha-boot-guard", *words, "--once")
        assert done.code != 1, done
        return done

    return wait.until(f"the boot guard of {host} can tell", said, 60, 1)
