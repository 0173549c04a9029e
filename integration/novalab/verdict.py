"""The safety checks at the end of every scenario, whatever it was about. They read what really happened.

1. No machine was shot (a BMC told to take its power) that the scenario did not name.
2. No guest ran on two living hosts: neither by the cloud's own watch (of real Nova: by the hypervisors' log), nor by the lab's power record (an evacuation was
   accepted while the power of the guest's host was really on).
3. No second evacuate was posted for a guest while one was accepted or running.
4. No guest that the product asked for was evacuated from a host other than one that an incident had proved off by then.
"""

from datetime import UTC, datetime

from novalab import events

# The cloud's and the lab's clocks are the same one; the slack is for the time between doing and writing down.
SLACK = 0.05


def violations(lab):
    """The sentences of what must never happen and did; empty is good. Reads only; the lab must be up."""
    found = [_shot(e) for e in lab.shots() if e["machine"] not in lab.allowed_shots]
    if lab.cloud and lab.cloud.running():
        state = lab.cloud.state()
        found += [f"the cloud saw: {v}" for v in state["violations"] if not _named(v, lab.allowed_rebuilds)]
        found += _sources_alive(state["migrations"], events.read(lab.state, "on", "off"), lab.allowed_alive)
        found += _doubles(state["migrations"])
        found += unproved(state["migrations"], [lab.incident(name) for name in lab.incident_ids()])
    return found


def _named(violation, rebuilds):
    """Whether the scenario has named this one: it shows what Nova does to a disk that is not there."""
    return violation["kind"] == "disk_rebuilt_from_image" and violation["guest"] in rebuilds


def _shot(event):
    return f"{event['machine']} was shot ({event['via']} {event['what']} by the BMC of {event['bmc']}) and nobody allowed it"


def seconds(stamp):
    """The cloud's UTC stamps (`2026-01-02T03:04:05.678901`) as seconds since the epoch."""
    return datetime.fromisoformat(stamp.rstrip("Z")).replace(tzinfo=UTC).timestamp()


def _sources_alive(migrations, power, allowed):
    found = []
    for migration in migrations:
        source = migration["source_compute"]
        at = seconds(migration["created_at"])
        if source not in allowed and powered_at(source, at - SLACK, power) and powered_at(source, at + SLACK, power):
            found.append(f"{migration['guest']} was evacuated from {source} while the power of {source} was on")
    return found


def unproved(migrations, incidents):
    """Evacuations that the product asked for, by its ledgers, whose source no incident had proved off when Nova took them."""
    incidents = [incident for incident in incidents if incident]
    asked = {name for incident in incidents for name, guest in incident.guests.items() if guest.get("attempts", 0) > 0}
    proved = {}
    for incident in incidents:
        for entry in incident.journal:
            if entry["what"]["event"] == "finished" and entry["what"].get("step") == "fence":
                proved.setdefault(incident.host, []).append(seconds(entry["at"]))
    return [f"{migration['guest']} was evacuated from {migration['source_compute']}, which no incident had proved off"
            for migration in migrations if migration["guest"] in asked
            and not any(at <= seconds(migration["created_at"]) + SLACK for at in proved.get(migration["source_compute"], []))]


def powered_at(machine, at, power):
    """Whether the machine's power was on at that time, by the lab's record of real transitions."""
    on = False
    for event in power:
        if event["machine"] == machine and event["at"] <= at:
            on = event["event"] == "on"
    return on


def _doubles(migrations):
    """Two evacuations of one guest overlap: the second was created before the first had ended."""
    found = []
    over = ("done", "completed", "failed", "error", "cancelled")
    for guest in {m["guest"] for m in migrations}:
        last = None
        for migration in sorted((m for m in migrations if m["guest"] == guest), key=lambda m: m["id"]):
            begun = seconds(migration["created_at"])
            if last is not None and (last["status"] not in over or seconds(last["updated_at"]) > begun):
                found.append(f"{guest} was evacuated a second time while migration {last['id']} was {last['status']}")
            last = migration
    return found
