"""One HA node that cannot reach a host which the others reach is no quorum: nobody is marked, nobody is shot."""

from novalab import expect


def run(lab):
    lab.partition("ha1", "compute1")
    lab.never_marked("compute1", 20)
    expect.untouched(lab)
