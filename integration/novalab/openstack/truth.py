"""What really ran where, from the hypervisors' own log and the lab's power record. Pure; the tests are in ../tests.

Nova's word is never asked here: these are the facts that the safety checks hold against it.
"""

import json
import time
from pathlib import Path

# What ends everything on a machine, in the lab's record of real transitions.
ENDS = ("off", "died")


def read(path):
    """The hypervisors' log, in the order of writing; empty where nothing was logged yet."""
    path = Path(path)
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.endswith("\n")]


def spans(log, power):
    """When each guest ran: `{guest id: [(host, from, to)]}`, `to` None where it runs still."""
    found, open_ones = {}, {}
    events = [(e["at"], 1, e) for e in log if e["event"] == "power"] + [(e["at"], 0, e) for e in power if e["event"] in ENDS]
    for at, _, event in sorted(events, key=lambda e: e[:2]):
        if event["event"] in ENDS:
            for key in [k for k in open_ones if k[1] == event["machine"]]:
                found[key[0]].append((key[1], open_ones.pop(key), at))
            continue
        key = (event["guest"], event["host"])
        found.setdefault(event["guest"], [])
        if event["running"]:
            open_ones.setdefault(key, at)
        elif key in open_ones:
            found[key[0]].append((key[1], open_ones.pop(key), at))
    for (guest, host), since in open_ones.items():
        found[guest].append((host, since, None))
    return found


def running_on(log, power):
    """`{guest id: [hosts on which it runs now]}`"""
    return {guest: sorted(host for host, _, to in rows if to is None) for guest, rows in spans(log, power).items()}


def two_hosts(log, power, migrated_live=()):
    """Guests that ran on two hosts at the same time: `(guest id, sorted hosts, since when)`.

    `migrated_live` are guests that a scenario moved alive, for which a moment of both is how it is done.
    """
    found = []
    for guest, rows in spans(log, power).items():
        if guest in migrated_live:
            continue
        for index, (host, since, to) in enumerate(rows):
            for other, begun, ended in rows[index + 1:]:
                both_from = max(since, begun)
                if other != host and both_from < min(to or time.time() + 1, ended or time.time() + 1):
                    found.append((guest, sorted((host, other)), both_from))
    return found


def rebuilt(log):
    """Guests whose disk was built from the image although one had been built before: `{guest id: host}`."""
    known, found = set(), {}
    for event in log:
        if event["event"] == "built":
            if event["guest"] in known:
                found[event["guest"]] = event["host"]
            known.add(event["guest"])
    return found


def history(log, guest):
    """Where a guest was spawned, in order: rows with `host`, `at`, `how` (built or kept)."""
    return [{"host": e["host"], "at": e["at"], "how": e["event"]} for e in log
            if e["guest"] == guest and e["event"] in ("built", "kept")]
