"""One HA node that cannot reach a host which the others reach is no quorum: nobody is marked, nobody is shot."""

from novalab import expect, wait


def run(lab):
    lab.partition("ha1", "compute1")
    # It has its full vote, and says so; the others' fresh looks stand against it for several intervals.
    wait.until("ha1 votes", lambda: lab.consul.checks("ha1")["nova-ha-probe:compute1"][0] == "critical", 120)
    lab.never_marked("compute1", 15)
    expect.untouched(lab)
