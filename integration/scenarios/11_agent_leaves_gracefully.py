"""A host whose Consul agent left is not dead: it is not marked, and it is called unprotected within a minute."""

from novalab import expect, wait

TIME_LIMIT = 150


def run(lab):
    lab.leave("compute1")
    wait.until("nova-ha says that compute1 is unprotected", lambda: unprotected(lab), 60, 1)
    lab.never_marked("compute1", 15)
    expect.untouched(lab)


def unprotected(lab):
    lines = lab.admin("nova-ha", "status", check=False).out.splitlines()
    return any("compute1" in line and "unprotected" in line.lower() for line in lines)
