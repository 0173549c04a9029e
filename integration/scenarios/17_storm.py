"""Three hosts die at once with the limit at two: nobody is marked, not even the first, and the guard says so."""

from novalab import expect

SHAPE = {"hosts": 4, "policy": {"storm_limit": "2"}}


def run(lab):
    for host in ("compute1", "compute2", "compute3"):
        lab.isolate(host)
    for host in ("compute1", "compute2", "compute3"):
        lab.wait_votes(host)
    for host in ("compute1", "compute2", "compute3"):
        lab.never_marked(host, 8)
    said = lab.admin("nova-ha-mark-failed", check=False)
    assert "limit" in (said.out + said.err).lower() or "storm" in (said.out + said.err).lower(), said
    expect.untouched(lab)
