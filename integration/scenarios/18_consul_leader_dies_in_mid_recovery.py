"""Consul's leader is killed while a recovery is evacuating: it goes on after the election, nothing is done twice."""

from novalab import expect

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 420


def run(lab):
    lab.panic("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 60)
    leader = lab.kill_consul_leader()
    lab.consul.wait_for_leader(20)
    for node in lab.ha_nodes:
        # It may be the whole recovery, the settling of what was being posted included.
        lab.recover(node.name, timeout=150)
    expect.recovered(lab, "compute1", 150)
    lab.restart_consul(leader)
