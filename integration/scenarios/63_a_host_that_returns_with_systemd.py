"""A host with its guests on md and systemd as its init asks before it touches them: without Consul nothing of it starts, after a
takeover nothing does until it is given back, and then all of it does, in the order that docs/boot-guard.md promises.

The product's own units and mdadm policy are installed as that document says. Each order is read from systemd's and the
kernel's clocks, and that nothing was touched from digests of the disks.

The HA node has systemd too, and recovers by the product's own unit: a fence agent works under what the unit forbids, and
what it mounts is there for nova-compute, which is another unit, and is there when the unit has ended.
"""

from novalab import expect, wait
from novalab.uml import by_unit, guarded, returning

SHAPE = {"machines": "uml", "with_kernel": ["compute1", "ha1"], "init": "systemd", "hosts": 2, "guests": 4, "acl": True,
         "targets": {"mode": "this_ha_node"}, "fences": {"compute1": "agent"}}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 1000
HOST, NODE = "compute1", "ha1"


def run(lab):
    guarded.install(lab, HOST)
    guarded.keep_md_from_assembling(lab, NODE)
    by_unit.install(lab, NODE)
    by_unit.what_a_mount_namespace_hides(lab, NODE)
    by_unit.a_user_asks_by_a_file(lab, NODE)
    without_consul(lab)
    by_a_persons_word(lab)
    returns_by_itself(lab)
    given_back(lab)
    boots_as_ever(lab)


def without_consul(lab):
    def before():
        guarded.is_what_keeps_md_from_assembling(lab, NODE, HOST)
        lab.partition(HOST, "s1", "s2", "s3")

    guarded.off_and_on(lab, HOST, before)
    host = lab.machine(HOST)
    guarded.wait_says(host, "cannot tell whose its storage and guests are")
    left = lab.disks.digests(HOST)
    wait.never("anything of it starts without Consul", lambda: guarded.assert_down(lab, HOST), 2 * guarded.INTERVAL_SECONDS, 1)
    assert lab.disks.digests(HOST) == left, "a byte of its disks changed, and nobody had said that they are its own"
    lab.mend(HOST, "s1", "s2", "s3")
    guarded.wait_started(lab, HOST)
    assert "its storage and guests are its own" in guarded.says(host)
    guarded.assert_order(host)
    assert lab.arrays.wrong(HOST, HOST) == []


def by_a_persons_word(lab):
    """Consul is away, and Ann is certain that nobody else has its disks."""
    guarded.off_and_on(lab, HOST, lambda: lab.partition(HOST, "s1", "s2", "s3"))
    host = lab.machine(HOST)
    guarded.wait_says(host, "cannot tell whose its storage and guests are")
    words = ("nova-ha-boot-guard", "--by", "ann", "--reason", "the switch of the servers is dead", "--override")
    wrong = host.exec(*words, "compute2", timeout=20)
    assert wrong.code == 1 and "this host is compute1, not compute2" in wrong.err, wrong
    guarded.assert_down(lab, HOST)
    host.exec(*words, HOST, check=True, timeout=30)
    guarded.wait_says(host, "overridden by ann for this boot (not in the tree yet)")
    guarded.wait_started(lab, HOST)
    guarded.assert_order(host)
    key = f"ha_cluster/compute_nodes/{HOST}/internal/boot_guard"
    assert lab.consul.get(key) is None, "it is recorded, and Consul could not be asked"
    lab.mend(HOST, "s1", "s2", "s3")
    word = wait.until("the word is recorded", lambda: lab.consul.get(key), 60)
    assert '"by":"ann"' in word.replace(" ", "") and "the switch of the servers is dead" in word, word
    assert lab.arrays.wrong(HOST, HOST) == []
    guarded.in_service(lab, HOST)


def returns_by_itself(lab):
    lab.cut(HOST)
    incident = returning.taken(lab, HOST, NODE)
    by_unit.recovered(lab, NODE, incident)
    returning.freeze(lab, NODE, HOST)
    left = lab.disks.digests(HOST)
    lab.power_on(HOST)
    host = lab.machine(HOST)
    host.wait_up()
    said = guarded.wait_says(host, "its storage and guests are not its own")
    assert f"it was recovered ({incident.id})" in said and f"next: nova-ha rejoin {HOST}" in said, said
    guarded.found_anew(host)
    host.exec("udevadm", "settle", "-t", "20", check=True)
    wait.never("anything of it starts", lambda: guarded.assert_down(lab, HOST), 2 * guarded.INTERVAL_SECONDS, 1)
    assert lab.arrays.holders(HOST) == [NODE]
    assert lab.disks.digests(HOST) == left, f"the host that returned changed its disks, which {NODE} has mounted"
    returning.thaw(lab, NODE)
    lab.wait_for_agent(HOST)
    returning.publish_without_storage(lab, HOST)


def given_back(lab):
    rejoin = ("nova-ha", "rejoin", HOST, "--by", "ann", "--yes", HOST, "--wait", "300s")
    refused = lab.admin(*rejoin, check=False)
    assert refused.code != 0 and "--release-storage" in refused.err, refused
    returning.released(lab, HOST, NODE)
    assert lab.arrays.holders(HOST) == [], "who has it not, is not asked"
    guarded.assert_down(lab, HOST)
    lab.wait_observed()
    host, admin = lab.machine(HOST), lab.machine("ha2")
    # Its agent would publish somewhere in its five minutes, and so open the host before that is looked for.
    lab.stop_publishing(HOST)
    returns = admin.spawn(*rejoin, env=lab.admin_env(), log="rejoin.log")
    guarded.wait_started(lab, HOST, timeout=200)
    assert "the host is being given back after" in guarded.says(host, guarded.COMPUTE)
    wait.never("it gets new guests before it has said that its disks are mounted",
               lambda: _is_closed_to_new_guests(lab, returns), 5, 0.5)
    lab.publish(HOST)
    assert returns.wait(120) == 0, returns
    assert lab.arrays.wrong(HOST, HOST) == []
    assert not expect.in_use(lab, NODE)


def _is_closed_to_new_guests(lab, returns):
    assert returns.poll() is None and lab.cloud.state()["hosts"][HOST]["disabled"]


def boots_as_ever(lab):
    guarded.off_and_on(lab, HOST)
    guarded.wait_started(lab, HOST)
    for what, at in guarded.assert_order(lab.machine(HOST)):
        print(f"{at / 1e6:9.3f} s  {what}")
    assert lab.arrays.wrong(HOST, HOST) == []
    guarded.in_service(lab, HOST)
