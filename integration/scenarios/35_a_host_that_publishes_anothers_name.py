"""A host that publishes another one's Nova name is not recovered by it, and harms nobody: its own word binds nothing."""

import json

from novalab import expect, wait

MAY_BE_SHOT = ["compute1"]
KEY = "ha_cluster/compute_nodes/compute1/internal/runtime_config"


def run(lab):
    lab.stop_publishing("compute1")
    said = json.loads(lab.consul.get(KEY))
    lab.consul.put(KEY, json.dumps({**said, "nova_host": "compute2"}).encode())
    done = lab.admin("nova-ha", "status", check=False)
    assert done.code == 3 and "publishes that Nova calls it compute2" in " ".join(done.out.split()), done
    lab.cut("compute1")
    lab.wait_incident("compute1", "waiting")
    reasons = str(lab.incident_of("compute1").waiting)
    assert "compute2" in reasons and "bound to compute1" in reasons, reasons
    wait.never("a guest is evacuated", lab.evacuations, 5)
    assert not lab.shots() and lab.lives("compute2")
    # A person has looked: what it published is wrong, and it is compute1.
    lab.admin("nova-ha", "host", "add", "compute1", "--replace", "--nova-host", "compute1", "--forget-published-nova-host")
    expect.recovered(lab, "compute1")
    assert lab.lives("compute2")
