"""The lab's own record of what really happened: `events.jsonl`, one JSON object a line.

Power transitions, commands that BMCs received and injected faults, each with `at` (wall clock, seconds) and `boot`
(CLOCK_BOOTTIME of the outside, seconds). The safety checks of the runner read it, so it is written by whoever
does the thing, at the moment of doing it. Imported by latch.py, which must start fast: nothing heavy here.
"""

import json
import os
import time


def record(state: str | os.PathLike[str], event: str, **details: object) -> None:
    """Appends one event. One write of one line with O_APPEND: safe between processes."""
    line = {"at": round(time.time(), 3), "boot": round(time.clock_gettime(time.CLOCK_BOOTTIME), 3), "event": event}
    line.update(details)
    with open(os.path.join(state, "events.jsonl"), "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(state: str | os.PathLike[str], *names: str) -> list[dict]:
    """The events with these names (all where none is given), in the order in which they were written."""
    path = os.path.join(state, "events.jsonl")
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as file:
        found = [json.loads(line) for line in file if line.endswith("\n")]
    return [e for e in found if not names or e["event"] in names]
