"""A host whose Consul agent left is not dead: it is not marked, and it is called unprotected within a minute.

By the sweep, a Consul check on every HA node, which turns to warning; and by `nova-ha status`.
"""

import time

from novalab import expect, wait

TIME_LIMIT = 240


def run(lab):
    # Consul tells a check's new output at once only where its status changes, and it begins as a warning.
    wait.until("every sweep has run and is passing", lambda: all(s == "passing" for s, _ in sweeps(lab)), 90, 1)
    lab.leave("compute1")
    left = time.monotonic()
    wait.until("the sweep of an HA node says that compute1 is unprotected", lambda: swept(lab), 60, 1)
    wait.until("nova-ha says that compute1 is unprotected", lambda: unprotected(lab), max(10, 60 - (time.monotonic() - left)), 1)
    lab.never_marked("compute1", 15)
    expect.untouched(lab)


def sweeps(lab):
    """Status and output of the check that sweeps, on each HA node."""
    return [lab.consul.checks(node.name).get("nova-ha-mark-failed", ("", "")) for node in lab.ha_nodes]


def swept(lab):
    said = [status for status, output in sweeps(lab)
            if any("compute1" in line and "UNPROTECTED" in line for line in output.splitlines())]
    assert all(status == "warning" for status in said), said
    return said


def unprotected(lab):
    # Under its own heading, one line for each host that nobody protects.
    shown = lab.admin("nova-ha", "status", check=False).out.partition("UNPROTECTED\n")[2].partition("\n\n")[0]
    return any(line.split()[0] == "compute1:" for line in shown.splitlines() if line.startswith("  "))
