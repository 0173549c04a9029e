"""A host publishes everything of two others, which die: both are recovered, for they are bound, and the liar harms nobody.

No identity and no host key was typed here: a person accepted what the hosts published (`nova-ha host accept --all`).
"""

import json

MAY_BE_SHOT = ["compute2", "compute3"]
SHAPE = {"hosts": 4, "fences": {"compute2": "redfish"}}
LIAR, OTHERS = "compute1", ["compute2", "compute3"]
TREE = "ha_cluster/compute_nodes"


def run(lab):
    for host in (LIAR, *OTHERS):
        lab.consul.delete(f"{TREE}/{host}/config/bmc/identity")
        lab.consul.delete(f"{TREE}/{host}/config/ssh/host_key")
    said = status(lab)
    assert all(f"{host} (BMC identity, SSH host keys)" in said for host in (LIAR, *OTHERS)), said
    lab.admin("nova-ha", "host", "accept", "--all", "--by", "ann", "--yes", "all")
    assert "first sight" not in status(lab)

    lab.stop_publishing(LIAR)
    key = f"{TREE}/{LIAR}/internal/runtime_config"
    lies = json.loads(lab.consul.get(key))
    for host in OTHERS:
        theirs = json.loads(lab.consul.get(f"{TREE}/{host}/internal/runtime_config"))
        lies["md_arrays"] = {**lies.get("md_arrays", {}), **theirs.get("md_arrays", {})}
        lies.update({name: value for name, value in theirs.items() if name not in ("md_arrays", "time", "version")})
    lies["nova_host"] = OTHERS[0]
    lab.consul.put(key, json.dumps(lies).encode())
    said = status(lab)
    assert f"host {LIAR} publishes otherwise than it is bound to" in said, said

    for host in OTHERS:
        lab.panic(host)
    for host in OTHERS:
        lab.wait_incident(host, "closed", 120)
        lab.assert_power(host, "off")
    assert lab.lives(LIAR)
    for name, guest in lab.guests().items():
        assert guest["host"] not in OTHERS, (name, guest)
        homes = [entry["host"] for entry in guest["history"]]
        assert homes[0] != LIAR or homes == [LIAR], f"{name} was on {LIAR}, which lives: {homes}"


def status(lab):
    return " ".join(lab.admin("nova-ha", "status", check=False).out.split())
