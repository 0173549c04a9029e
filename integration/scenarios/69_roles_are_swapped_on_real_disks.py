"""`nova-ha rejoin --swap-roles` on real disks: the data stays on the HA node that took it, which boots as a host from then on, and
the repaired host is an HA node; killed after each of its steps and run again it comes to the same end, and no guest's disk changes.

What the command says is left to do by hand is done, and both machines boot once more in their new roles.
"""

from novalab import wait
from novalab.uml import guarded, returning

SHAPE = {"machines": "uml", "with_kernel": ["compute1", "ha1"], "init": "systemd", "hosts": 2, "guests": 4,
         "targets": {"mode": "this_ha_node"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 800
HOST, NODE = "compute1", "ha1"
SWAP = ("nova-ha", "rejoin", HOST, "--swap-roles", "--by", "ann", "--yes", HOST, "--wait", "90s")


def run(lab):
    guarded.install(lab, HOST)
    guarded.keep_md_from_assembling(lab, NODE)
    guarded.off_and_on(lab, HOST)
    guarded.wait_started(lab, HOST)
    guarded.in_service(lab, HOST)
    lab.cut(HOST)
    returning.taken(lab, HOST, NODE)
    lab.power_on(HOST)
    lab.machine(HOST).wait_up()
    lab.wait_for_agent(HOST)
    lab.wait_observed()
    returning.publish_without_storage(lab, HOST)
    swapped(lab)
    left_to_do(lab)
    boot_in_new_roles(lab)


def swapped(lab):
    """Killed as soon as each step is seen, and run again."""
    cloud = lambda name: lab.cloud.state()["hosts"][name]
    steps = {
        "it is said that the host is given back": lambda: lab.consul.get(f"ha_cluster/compute_nodes/{HOST}/internal/returning"),
        "forced down is taken back": lambda: not cloud(HOST)["forced_down"],
        "the host is a spare": lambda: cloud(HOST)["disabled"] and "spare" in cloud(HOST)["disabled_reason"],
    }
    admin = lab.machine("ha2")
    for what, seen in steps.items():
        run = admin.spawn(*SWAP, log="swap.log")
        wait.until(what, seen, 60, 0.02)
        admin.kill_processes("--swap-roles")
        run.wait()
        print(f"killed ({run.returncode}) once {what}")
    done = admin.exec(*SWAP, timeout=120)
    assert done.code == 0 and f"generate consul-config --host {NODE}" in done.out, done
    again = admin.exec(*SWAP)
    assert again.code == 0 and "already so" in again.out, again
    assert lab.consul.get(f"ha_cluster/compute_nodes/{NODE}/status/failed") == "False"
    assert lab.consul.get(f"ha_cluster/ha_nodes/{HOST}/status/in_use") == "False"
    assert not lab.consul.keys(f"ha_cluster/compute_nodes/{HOST}/") and not lab.consul.keys(f"ha_cluster/ha_nodes/{NODE}/")
    assert lab.arrays.holders(HOST) == [NODE] and lab.arrays.wrong(NODE, HOST) == []


def left_to_do(lab):
    """What the command said, on the machines themselves."""
    guarded.install(lab, NODE, array_of=HOST)
    guarded.uninstall(lab, HOST)
    lab.deploy(NODE, "host")
    lab.publish(NODE)
    for name in (HOST, "ha2", "ha3"):
        lab.deploy(name, "ha")
    probes = {(watcher, f"nova-ha-probe:{watched}") for watcher, watched in ((HOST, NODE), ("ha2", NODE), ("ha3", NODE), ("ha2", HOST))}
    wait.until("the new host is probed, and the new HA node too",
               lambda: all(lab.consul.checks(w).get(check, ("",))[0] == "passing" for w, check in probes), 60)


def boot_in_new_roles(lab):
    for name in (NODE, HOST):
        lab.admin("nova-ha", "maintenance", "on", name, "--by", "ann")
        lab.cut(name)
    for name in (NODE, HOST):
        lab.power_on(name)
    for name in (NODE, HOST):
        lab.machine(name).wait_up()
        lab.wait_for_agent(name)
    guarded.wait_started(lab, NODE, array_of=HOST)
    guarded.assert_order(lab.machine(NODE))
    assert lab.arrays.holders(HOST) == [NODE], "the new HA node assembles nothing"
    wait.until(f"nova-compute of {HOST} reports", lambda: lab.cloud.state()["hosts"][HOST]["up"], 30)
    assert lab.arrays.wrong(NODE, HOST) == []
    assert all(lab.guests()[name]["host"] != HOST for name in lab.guests())
