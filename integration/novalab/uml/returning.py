"""A host whose arrays were taken over, while it returns: what it may not touch, and what it is given back."""

import json

from novalab import expect, takeover, wait
from novalab.uml import superblock
from novalab.uml.guests import INSTANCES


def taken(lab, host, node):
    """The host, which has lost its power, is recovered by the HA node, which has its array mounted; returns the incident."""
    incident = expect.recovered(lab, host, 180)
    assert incident.holder == node, incident
    assert lab.arrays.holders(host) == [node]
    assert lab.arrays.wrong(node, host) == []
    return incident


def freeze(lab, node, host):
    """From now on nothing is written to the host's array, which this machine has mounted, so that digests show what others write."""
    machine = lab.machine(node)
    machine.exec("fsfreeze", "--freeze", INSTANCES, check=True)
    # md says that the array is clean a moment after its last write.
    wait.until("md has said that the array is clean",
               lambda: machine.exec("sh", "-c", "cat /sys/block/md*/md/array_state").out.strip() == "clean", 20)
    # It says so before it has written it.
    wait.until("its members say so too", lambda: all(m and m.in_sync for m in superblock.of_host(lab, host).values()), 20)


def thaw(lab, node):
    """It may be written again."""
    lab.machine(node).exec("fsfreeze", "--unfreeze", INSTANCES, check=True)


def publish_without_storage(lab, host):
    """The host that came back publishes that its guard has kept its storage from it; its arrays stay published."""
    published = lab.publishes(host)
    assert published.code == 1 and "is published and does not run here" in published.out, published
    found = json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{host}/internal/runtime_config"))
    assert found["boot_guard"] is False and list(found["md_arrays"]) == [lab.arrays.array(host)], found


def moved_off(lab, node, to):
    """A person moves every guest of an HA node to a host that lives."""
    names = [name for name, guest in lab.guests().items() if guest["host"] == node]
    lab.cloud.set_guests(*({"name": name, "host": to} for name in names))
    return names


def released(lab, host, node):
    """The HA node gives the host's storage back on a person's order, and not while it has guests."""
    order = (host, "--release-storage", "--yes", host, "--by", "ann")
    refused = takeover.turn(lab, node, *order)
    assert refused.code != 0 and "guests are on" in refused.err + refused.out, refused
    assert lab.arrays.holders(host) == [node]
    assert moved_off(lab, node, "compute2")
    done = takeover.turn(lab, node, *order)
    assert done.code == 0, done
    name = lab.machine(node).exec("mdadm", "--examine", lab.disks.by_id(host, 0), check=True).out
    assert f"{host}:guests" in name, name
