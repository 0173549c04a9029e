"""What of two answers must be alike: the status, the names of all fields, and the kinds of their values. Pure."""

import re

# Whose keys are data and not names of fields.
FREE = ("metadata", "addresses", "extra_specs", "properties")
# What the client decides by: here the very value must be the same.
EXACT = ("status", "state", "forced_down", "disabled_reason", "migration_type", "source_compute", "dest_compute", "binary",
         "host", "code", "locked", "locked_reason", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state",
         "OS-EXT-STS:power_state", "OS-EXT-SRV-ATTR:host", "rel", "action", "event", "result")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?(Z|\+00:00)?")


def kind(value):
    """null, bool, number, list, object, or what sort of string: an id, a time (with its form), empty, text."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        if UUID.fullmatch(value):
            return "uuid"
        stamp = STAMP.fullmatch(value)
        if stamp:
            return "time" + (" with a fraction" if stamp.group(1) else "") + (stamp.group(2) or "")
        return "text" if value else "empty text"
    return "list" if isinstance(value, list) else "object"


def differences(real, simulated, where="answer"):
    """The sentences of what is not alike; empty is good."""
    a, b = kind(real), kind(simulated)
    if a != b:
        return [f"{where}: Nova's is {a} ({short(real)}), the simulated one's {b} ({short(simulated)})"]
    if where.rpartition(".")[2] in EXACT and real != simulated:
        return [f"{where}: Nova's is {real!r}, the simulated one's {simulated!r}"]
    if a == "object":
        if where.rpartition(".")[2] in FREE:
            return []
        found = [f"{where}.{name}: only Nova has it ({short(real[name])})" for name in real if name not in simulated]
        found += [f"{where}.{name}: Nova has no such field ({short(simulated[name])})" for name in simulated if name not in real]
        for name in real:
            if name in simulated:
                found += differences(real[name], simulated[name], f"{where}.{name}")
        return found
    if a == "list":
        found = [] if bool(real) == bool(simulated) else [f"{where}: {len(real)} rows are Nova's, {len(simulated)} the other's"]
        for row, other in zip(real[:1], simulated[:1]):
            found += differences(row, other, f"{where}[0]")
        return found
    return []


def short(value):
    """A value in a sentence."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def compare(real, simulated):
    """All differences of two recordings (lists of cases, see cases.py), each sentence led by its case."""
    theirs = {case["case"]: case for case in simulated}
    found = [f"{name}: asked of one cloud only" for name in {c["case"] for c in real} ^ set(theirs)]
    for case in real:
        other = theirs.get(case["case"])
        if other is None:
            continue
        if case["status"] != other["status"]:
            found.append(f"{case['case']}: Nova answers {case['status']}, the simulated cloud {other['status']}")
            continue
        found += [f"{case['case']}: {sentence}" for sentence in differences(case["answer"], other["answer"])]
    return found
