"""With ACLs on, default deny, and one generated policy for each executable: a host is noticed, fenced and recovered.

Everything runs from the generated files with its own token: the agents, the probes, the watches, `recover`; the
operator's commands with theirs. Nothing is denied anywhere on the way.
"""

from novalab import expect

SHAPE = {"acl": True}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    anonymous = lab.machine("ha1").exec("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}",
                                        "http://127.0.0.1:8500/v1/kv/ha_cluster/meta")
    assert anonymous.out == "403" or anonymous.out == "404", f"without a token the tree can be read: {anonymous}"
    lab.product("ha2", "nova-ha-mark-failed", "--sweep", check=True)
    lab.product("ha2", "nova-ha-recover", check=True)
    lab.panic("compute1")
    incident = expect.recovered(lab, "compute1", 120)
    holder = lab.machine(incident.holder)
    lab.product(holder.name, "nova-ha", "status")
    shown = lab.product(holder.name, "nova-ha", "incident", "show", incident.id, "--json", check=True)
    assert shown.json()["incident"]["id"] == incident.id, shown
    lab.product(holder.name, "nova-ha", "reset", "compute1", "--by", "maria", "--maintenance", "--yes", "compute1", check=True)
    lab.never_marked_again("compute1", 5)
    for node in lab.ha_nodes:
        logs = [node.path("/var/log/nova-ha/recover.log"), node.folder / "log" / "consul.log"]
        for log in [log for log in logs if log.exists()]:
            denied = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
                      if "ermission denied" in line and "nova-ha" in line]
            assert not denied, f"{node.name}: {denied[:3]}"
