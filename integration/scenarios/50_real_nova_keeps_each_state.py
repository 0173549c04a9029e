"""Real Nova, shared storage, IPMI: a dead host's guests run elsewhere, those that ran run and those that were stopped
stay stopped, each on the disk that it had."""

from novalab import expect

SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "guests": 4, "fences": {}, "cloud_seed": {"guests": [
    {"name": "vm-01", "host": "compute1"}, {"name": "vm-02", "host": "compute1"},
    {"name": "vm-03", "host": "compute1", "vm_state": "stopped"}, {"name": "vm-04", "host": "compute2"}]}}
MAY_BE_SHOT = ["compute1"]


def run(lab):
    before = lab.guests()
    lab.cut("compute1")
    expect.recovered(lab, "compute1")
    after = lab.guests()
    for name in ("vm-01", "vm-02", "vm-03"):
        was, now = before[name], after[name]
        assert (now["vm_state"], now["task_state"]) == (was["vm_state"], None), f"{name} was {was}, is {now}"
        assert now["disk"] == "original", f"{name}: {now}"
    assert after["vm-03"]["running_on"] == [], f"a stopped guest runs: {after['vm-03']}"
    # Nova's own records say the same: one evacuation for each guest, all of them done.
    records = sorted((m["guest"], m["status"]) for m in lab.cloud.state()["migrations"])
    assert records == [(name, "done") for name in ("vm-01", "vm-02", "vm-03")], f"{records}"
    # Nothing was built: the hypervisor found every disk where the storage is shared.
    assert len(lab.cloud.hypervisor("built")) == 4, f"{lab.cloud.hypervisor('built')}"
