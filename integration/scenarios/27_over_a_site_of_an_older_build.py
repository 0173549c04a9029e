"""A site that the build 7763f26 configured is upgraded, and nobody is disarmed by it: hosts that die under its tree, its ACL policies
and its agents' configuration are recovered by the executables of now.

What it goes by at first sight (a storage program and an option of a fence agent that no root has allowed, Redfish by plain
http, what hosts publish, SSH host keys that nobody bound) is in `status`, each with the command that settles it. Once
these were typed nothing of it is left, and another host is recovered under the new policies. Under the old ones the checks
open an incident in its own keys, as that build did; under the new ones recover alone writes there. One host is an FQDN,
and Consul calls two machines by other names than the tree does.
"""

import json

from novalab import bmc, paths, recorded, redfish, wait
from novalab.product import SECRETS

FQDN = "compute1.example.org"
SHAPE = {
    "acl": True,
    "hosts": [FQDN, "compute2", "compute3"],
    "guests": 9,
    "fences": {FQDN: "agent", "compute2": "redfish_http"},
    "consul_nodes": {"compute2": "rack2-node7", "ha3": "ha3.example.org"},
    "recorded": "tests/data/7763f26/site",
}
MAY_BE_SHOT = [FQDN, "compute2", "compute3"]
TIME_LIMIT = 360
PROGRAM = "/opt/nova-ha/move-directory"
# What is said before anything was settled, and what settles it.
AT_FIRST_SIGHT = {
    f'storage program "{PROGRAM} ': "on ha2, as root: nova-ha local adopt",
    "verbose_level": "on ha3, as root: nova-ha local adopt",
    f"known by the hosts' own word only, and changes when a host publishes otherwise: {FQDN} (BMC identity, SSH host keys)":
        "nova-ha host accept --all --by NAME",
    "fence_ipmilan hands the password to ipmitool in its arguments": f"nova-ha host add {FQDN} --replace --fence-file FILE",
    "(redfish http://10.77.2.2) is read by plain http": "nova-ha host add compute2 --replace --fence-file FILE",
    "HA node ha1 has not published what it reads": "nova-ha generate acl",
    "checks of nova-ha on HA node ha1 belong to the node": "nova-ha generate consul-config --ha-node ha1",
}
# Said as soon as all HA nodes may say which formats they read.
KNOWN_BY_KEY = "HA nodes are known by the SSH host key that they showed first only"


def run(lab):
    fill_the_pool(lab)
    is_said(lab)
    first = dies_and_is_recovered(lab, FQDN)
    second = dies_and_is_recovered(lab, "compute2")
    for incident in (first, second):
        assert not recover_began(lab, incident), f"{incident}: opened where the old policy lets nobody write"
    is_said(lab)
    assert not any(layout(lab, node.name) for node in lab.ha_nodes), "an HA node reads a layout that its policies do not have"
    settle(lab)
    third = dies_and_is_recovered(lab, "compute3")
    assert recover_began(lab, third), f"{third}: a check opened it where recover alone is to write"
    holders = {first.holder, second.holder, third.holder}
    assert holders == {node.name for node in lab.ha_nodes}, f"each has the storage of one host: {holders}"


def dies_and_is_recovered(lab, host):
    """Its kernel dies, it is shot, and its guests run with their disks on the HA node that took them; returns the incident."""
    before = {name: guest["host"] for name, guest in lab.guests().items()}
    lab.panic(host)
    incident = lab.wait_incident(host, "closed", 120)
    lab.assert_power(host, "off")
    assert lab.shots(host), "the machine was on, and nobody shot it"
    outcomes = incident.outcomes()
    for name, guest in lab.guests().items():
        if before[name] != host:
            assert guest["host"] == before[name], f"{name} was on {before[name]}, which lives: {guest}"
            continue
        running = [machine for machine in guest["running_on"] if lab.lives(machine)]
        assert outcomes.get(name) == "recovered" and running == [incident.holder], f"{name}: {outcomes.get(name)}, {guest}"
        assert guest["disk"] == "original", guest
    return incident


def recover_began(lab, incident):
    """Whether recover wrote the incident's first keys, after a check had marked the host: that one wrote them along with it else."""
    marked = index(lab, f"ha_cluster/compute_nodes/{incident.host}/status/failed", "ModifyIndex")
    begun = index(lab, f"ha_cluster/incidents/{incident.id}/evidence", "CreateIndex")
    assert begun >= marked, f"{incident}: begun at {begun}, before its host was marked at {marked}"
    return begun > marked


def index(lab, key, which):
    """At which of Consul's writes a key was made (`CreateIndex`) or written last (`ModifyIndex`)."""
    return lab.consul.ask(f"/v1/kv/{key}?consistent")[0][which]


def layout(lab, node):
    """Which layout an HA node says that it reads: 2 is the one in which recover alone writes below incidents/."""
    published = json.loads(lab.consul.get(f"ha_cluster/ha_nodes/{node}/internal/formats") or "{}")
    return published.get("reads", {}).get("layout", 0)


def fill_the_pool(lab):
    """The guests' disks as the site's storage program knows them, and that program on every HA node."""
    pool = recorded.pool(lab)
    for guest in lab.guests().values():
        (pool / guest["host"] / guest["id"]).mkdir(parents=True)
        (pool / guest["host"] / guest["id"] / "disk").write_text(guest["name"], encoding="utf-8")
    example = (paths.REPO / "docs/examples/storage-exec-move-directory").read_text(encoding="utf-8")
    for node in lab.ha_nodes:
        (pool / node.name).mkdir()
        node.install_file(PROGRAM, example, 0o755)
        lab.cloud.door("POST", "hosts", {"host": node.name, "instances_path": str(pool / node.name)})


def status(lab):
    """`nova-ha status`: its exit code, and its words in one line."""
    done = lab.admin("nova-ha", "status", check=False)
    return done.code, " ".join(done.out.split())


def is_said(lab):
    """Each thing that goes on at first sight, with its command; and the sweep is a check's warning."""
    code, said = status(lab)
    assert code == 3, said
    for what, command in AT_FIRST_SIGHT.items():
        assert what in said and command in said.partition(what)[2], f"{what}: {command}: {said}"
    swept = lab.product("ha1", "nova-ha-mark-failed", "--sweep")
    assert swept.code in (1, 2) and "FIRST SIGHT" in swept.out, swept


def settle(lab):
    """What `status` says to type."""
    lab.make_tokens()
    for machine in lab.machines.values():
        if machine.latch.lives():
            lab.deploy(machine.name)
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha", "local", "adopt", "--yes", node.name, env={"NOVA_HA_NODE": node.name}, check=True)
        # It tries its token on what people say; then mark-failed shows that it may open, which it takes up.
        lab.product(node.name, "nova-ha-recover", check=True)
        lab.product(node.name, "nova-ha-mark-failed", "--sweep")
        lab.product(node.name, "nova-ha-recover", check=True)
    for node in lab.ha_nodes:
        wait.until(f"{node.name} reads layout 2", lambda name=node.name: layout(lab, name) == 2, 30)
    lab.admin("nova-ha", "host", "accept", "--all", "--by", "maria", "--yes", "all")
    fenced_by(lab, FQDN, {"driver": "ipmi", "address": lab.machine(FQDN).bmc_address, "port": bmc.PORT, "cipher": bmc.CIPHER})
    # The BMC was given a certificate.
    other = lab.machine("compute2")
    lab.registry.kill(bmc.node(other))
    redfish.install(other, lab.authority)
    redfish.start(other, lab.registry, lab.network)
    wait.until("that BMC answers", lambda: redfish.curl(
        other, lab.authority, lab.network.namespace("ha1"), redfish.url(other))[0] == 0, 30)
    fenced_by(lab, "compute2", {"driver": "redfish", "url": f"https://{other.bmc_address}:{redfish.PORT}"})
    wait.until(f"{KNOWN_BY_KEY}: said", lambda: KNOWN_BY_KEY in status(lab)[1], 60, 1)
    for node in lab.ha_nodes:
        lab.admin("nova-ha", "ha-node", "add", node.name, "--replace", "--ssh-host-key-file", f"{SECRETS}/host_keys/{node.name}.pub")
    left = [*AT_FIRST_SIGHT, KNOWN_BY_KEY, "first sight"]

    def nothing_is_left():
        said = status(lab)[1]
        return not [what for what in left if what in said]

    wait.until("nothing of it is left", nothing_is_left, 60, 1)


def fenced_by(lab, name, level):
    """The host's fence levels are this one, with the BMC's account."""
    path = f"{SECRETS}/fence-{name}.json"
    level = {**level, "user": bmc.USER, "password": bmc.PASSWORD}
    lab.admin_machine().install_file(path, json.dumps({"version": 1, "levels": [level]}), 0o600)
    lab.admin("nova-ha", "host", "add", name, "--replace", "--fence-file", path)
