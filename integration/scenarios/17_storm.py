"""Three hosts of four die at once, with the policy as it is in the code: nobody is marked, not even the first, and the guard says so.

The cool-down that follows names them, `status` says who fails in it, and a person ends it.
"""

from novalab import expect, wait

SHAPE = {"hosts": 4}
DEAD = ("compute1", "compute2", "compute3")


def run(lab):
    for host in DEAD:
        lab.isolate(host)
    for host in DEAD:
        lab.wait_votes(host)
    for host in DEAD:
        lab.never_marked(host, 8)
    said = lab.admin("nova-ha-mark-failed", check=False)
    assert "limit" in (said.out + said.err).lower() or "storm" in (said.out + said.err).lower(), said
    expect.untouched(lab)
    shown = lambda: " ".join(lab.admin("nova-ha", "cooldown", "show", check=False).out.split())
    wait.until("a cool-down names the hosts", lambda: all(host in shown() for host in DEAD), 60, 1)
    for host in DEAD:
        lab.rejoin(host)
    wait.until("nobody fails any more", lambda: "failing now: none" in shown(), 60, 1)
    ended = lab.admin("nova-ha", "cooldown", "end", "--by", "maria").out
    assert "ended by maria" in ended and "no cool-down is in force" in shown(), (ended, shown())
    expect.untouched(lab)
