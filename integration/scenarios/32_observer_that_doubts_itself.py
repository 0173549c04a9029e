"""An HA node to which every machine is dead, while it still reaches Consul, doubts itself: it is believed by nobody, itself included.

The others do not wait for it: a host that really dies meanwhile is recovered on their votes.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 330
# Six machines that cannot reach it suspect it in gossip, and it refutes them by way of the servers: now and then its agent is
# critical, which is a reason of its own and stands before the doubt. It hears of that at the latest in an exchange of the whole state with a
# server, which each machine has every 30 s with one of all the others, three servers of eight.
GOSSIP_SETTLES = 100


def run(lab):
    lab.partition("ha1", *(name for name in lab.machines if name != "ha1"))
    wait.until("ha1 counts every host as dead", lambda: all(fails(lab, host.name) for host in lab.hosts), 60, 0.5)
    wait.until("its doubt is written down", lambda: "ha1 doubted itself" in status(lab), GOSSIP_SETTLES, 1)
    for host in lab.hosts:
        lab.never_marked(host.name, 4)
    # Neither is a vote.
    judged = lambda: lab.product("ha1", "nova-ha-mark-failed", "compute1", "compute2", "compute3").out
    wait.until("a judgement names its doubt", lambda: "doubts itself" in judged(), GOSSIP_SETTLES, 1)
    expect.untouched(lab)
    lab.panic("compute1")
    incident = expect.recovered(lab, "compute1", 120)
    assert {vote["observer"] for vote in incident.evidence["votes"]} == {"ha2", "ha3"}, incident.evidence


def fails(lab, host):
    """Whether ha1 has counted as many fails of a host as the threshold, and only ha1."""
    seen = lab.observed(host)
    return "ha1" in seen and seen["ha1"]["fails"] >= seen["ha1"]["threshold"]


def status(lab):
    return " ".join(lab.machine("ha2").exec("nova-ha", "status", env=lab.admin_env()).out.split())
