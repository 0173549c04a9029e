"""An HA node that is cut off from everything doubts itself: it marks nobody, and nobody believes it."""

from novalab import expect


def run(lab):
    lab.isolate("ha1")
    for host in lab.hosts:
        lab.never_marked(host.name, 8)
    lab.rejoin("ha1")
    lab.wait_for_agent("ha1")
    lab.never_marked("compute1", 8)
    for node in lab.ha_nodes:
        assert lab.lives(node.name)
    expect.untouched(lab)
