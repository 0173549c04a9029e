"""An HA node that is cut off from everything, Consul too, cannot judge: it marks nobody, and says why.

That its probes find nobody is its own fault, which never looks like a dead host (exit 1, not 2).
"""

from novalab import expect


def run(lab):
    lab.isolate("ha1")
    probe = lab.product("ha1", "nova-ha-probe", "compute1")
    assert probe.code == 1, probe
    judged = lab.product("ha1", "nova-ha-mark-failed", "compute1")
    assert judged.code != 0 and "cannot judge" in judged.err, judged
    for host in lab.hosts:
        lab.never_marked(host.name, 8)
    lab.rejoin("ha1")
    lab.wait_for_agent("ha1")
    lab.never_marked("compute1", 8)
    for node in lab.ha_nodes:
        assert lab.lives(node.name)
    expect.untouched(lab)
