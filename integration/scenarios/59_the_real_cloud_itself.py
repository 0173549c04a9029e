"""The lab's real cloud does what its README says, so that the other scenarios prove something: a host's nova-compute dies
with its power and comes back as the same one, guests outlast it but not the power, and a guest on two hosts is noticed."""

from novalab import verdict, wait

SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 0, "product": False, "cloud_seed": {"guests": [
    {"name": "stays", "host": "compute1"}, {"name": "doubled", "host": "compute1"}]}}
TIME_LIMIT = 420


def run(lab):
    before = identity(lab)
    assert running(lab) == {"stays": ["compute1"], "doubled": ["compute1"]}, running(lab)

    lab.kill_nova_compute("compute1")
    wait.until("Nova sees it down", lambda: not lab.cloud.state()["hosts"]["compute1"]["up"], 60)
    assert running(lab)["stays"] == ["compute1"], "a guest ended with nova-compute"
    lab.start_service("compute1", "nova-compute")
    wait.until("Nova sees it up", lambda: lab.cloud.state()["hosts"]["compute1"]["up"], 60)
    assert identity(lab) == before, f"another service or compute node than before: {identity(lab)}, {before}"
    assert running(lab)["stays"] == ["compute1"], "a guest ended with the new nova-compute"

    notices_two_hosts(lab)

    lab.cut("compute1")
    assert not lab.machine("compute1").processes(lab.cloud.compute_word), "nova-compute outlives its host"
    assert running(lab)["stays"] == [], "a guest outlives its host"
    lab.power_on("compute1")
    started = len(lab.cloud.hypervisor("started"))
    wait.until("nova-compute starts with the host", lambda: len(lab.cloud.hypervisor("started")) > started, 90)
    assert identity(lab) == before, "another identity after the boot"
    assert running(lab)["stays"] == [], "the guest of an earlier boot runs"
    assert lab.guests()["stays"]["id"] in lab.cloud.disks("compute1"), "its disk is gone"


def identity(lab):
    """What Nova knows a host by: its service and its compute node."""
    nodes = lab.cloud.api.nova("GET", "/os-hypervisors")["hypervisors"]
    return {host: s["id"] for host, s in lab.cloud.services().items()}, sorted((n["hypervisor_hostname"], n["id"]) for n in nodes)


def running(lab):
    """Where each guest runs."""
    return {name: guest["running_on"] for name, guest in lab.guests().items()}


def notices_two_hosts(lab):
    """An evacuation from a host that lives: Nova does it where it is told that the host is down, and the checks see it."""
    service = lab.cloud.services()["compute1"]["id"]
    lab.cloud.api.nova("PUT", f"/os-services/{service}", {"forced_down": True})
    ref = lab.guests()["doubled"]["id"]
    answer = lab.cloud.api.nova_raw("POST", f"/servers/{ref}/action", {"evacuate": {"host": "compute2"}}, "2.14")
    assert answer.status == 200, answer.body
    wait.until("it runs on both", lambda: running(lab)["doubled"] == ["compute1", "compute2"], 60)
    found = verdict.violations(lab)
    assert any("two_hosts" in sentence for sentence in found), f"the hypervisors' log was not heeded: {found}"
    assert any("while the power of compute1 was on" in sentence for sentence in found), f"nor the power record: {found}"
    # From here on it is what this scenario wanted.
    lab.cloud.moves_live(ref)
    lab.may_be_evacuated_alive("compute1")
