"""Machines with kernels and disks of their own do what the lab says of them, before anything of the product is trusted to them.

A host's disks have one name on every machine that sees them; its array assembles nowhere by itself; after a power cut by
IPMI in the middle of fsynced writes it is assembled by hand on an HA node, and every acknowledged write is there.
"""

import time

from novalab import bmc, net, wait

SHAPE = {"machines": "uml", "product": False}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 600

GUARD = """\
[Unit]
Description=a guard of this scenario
Before=nova-compute.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'until [ -e /run/open ]; do sleep 0.1; done'
TimeoutStartSec=infinity
[Install]
RequiredBy=nova-compute.service
"""


def run(lab):
    identity(lab)
    disks(lab)
    power_cut(lab)
    boots_again(lab)
    bays(lab)
    network(lab)
    hang(lab)
    panic_and_reset(lab)
    systemd(lab)


def seen_from_ha3(lab, name):
    """What a client on ha3, which has no kernel of its own, sees of port 22: banner, accepted, refused or silent."""
    try:
        sock = net.connect(lab.network.namespace("ha3"), lab.machine(name).address, 22, 2.0)
    except ConnectionRefusedError:
        return "refused"
    except OSError:
        return "silent"
    with sock:
        try:
            return "banner" if sock.recv(64).startswith(b"SSH-2.0") else "accepted"
        except OSError:
            return "accepted"


def pings(lab, name):
    return net.pings(lab.network.namespace("ha3"), lab.machine(name).address)


def identity(lab):
    for name in ("compute1", "compute2", "ha1", "ha2"):
        machine = lab.machine(name)
        assert machine.has_disks and machine.exec("uname", "-r").out != lab.machine("ha3").exec("uname", "-r").out
        seen = machine.exec("cat", "/sys/class/dmi/id/product_uuid", "/proc/sys/kernel/hostname", check=True).out.split()
        assert seen == [machine.uuid, name], seen
        assert machine.exec("id", "-u", "nova").out.strip() == "64060", "who owns a guest's disk is the same everywhere"
        wait.until(f"sshd of {name} answers", lambda name=name: seen_from_ha3(lab, name) == "banner", 30)
        wait.until(f"serfHealth of {name} is passing", lambda name=name: lab.consul.serf_health(name) == "passing", 30)
        wait.until(f"nova-compute of {name} is up", lambda name=name: lab.cloud.state()["hosts"][name]["up"], 30)
    assert len({m.boot_id() for m in lab.machines.values()}) == len(lab.machines), "two machines share a boot id"
    assert not lab.machine("ha3").has_disks
    login = ["ssh", "-i", "/etc/nova-ha/login_key", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no", "-o",
             "UserKnownHostsFile=/dev/null", "lab@compute1", "hostname"]
    assert lab.machine("ha1").exec(*login, check=True).out.strip() == "compute1"
    started = time.monotonic()
    done = lab.machine("ha1").exec("sh", "-c", "cat; echo wrong >&2; exit 3", stdin="right")
    took = time.monotonic() - started
    assert (done.code, done.out, done.err) == (3, "right", "wrong\n"), done
    print(f"a command inside: {took:.3f} s")


def disks(lab):
    names = {}
    for name in ("compute1", "compute2", "ha1", "ha2"):
        links = lab.machine(name).exec("sh", "-c", "cd /dev/disk/by-id && for l in wwn-*; do echo $l $(readlink -f $l); done", check=True).out
        names[name] = dict(line.split() for line in links.splitlines())
    assert not set(names["compute1"]) & set(names["compute2"]), "two hosts share a disk"
    both = set(names["compute1"]) | set(names["compute2"])
    assert both == set(names["ha1"]) == set(names["ha2"]) and len(both) == 8, names
    assert names["ha1"] != names["ha2"], "sda here is not sda there"
    for host in ("compute1", "compute2"):
        assert {f"/dev/disk/by-id/{link}" for link in names[host]} == {lab.disks.by_id(host, bay) for bay in lab.disks.bays(host)}
        assert lab.arrays.holders(host) == [host], "an array runs on its host and nowhere else"
        machine = lab.machine(host)
        shown = machine.exec("mdadm", "--detail", "--export", "/dev/md/guests", check=True).out
        assert "MD_LEVEL=raid10" in shown and "MD_METADATA=1.2" in shown, shown
        assert " /var/lib/nova/instances xfs " in machine.read_file("/proc/mounts")
        assert lab.arrays.wrong(host, host) == []


def power_cut(lab):
    host, guest = "compute1", lab.arrays.guests("compute1")[0]
    writer = lab.arrays.write(host, guest)
    wait.until("the guest has written", lambda: writer.acknowledged() >= 50, 30)
    code, out = bmc.ipmitool(lab.machine(host), "chassis", "power", "off", namespace=lab.network.namespace("ha3"))
    assert code == 0, out
    assert lab.power_reads(host) is False and not lab.lives(host)
    assert seen_from_ha3(lab, host) == "silent" and not pings(lab, host), "a cut machine must not say RST"
    wait.until("the writer has died with its machine", lambda: not writer.runs(), 5)
    acknowledged = writer.acknowledged()
    assert lab.arrays.holders(host) == [], "a host's array assembles nowhere by itself"
    left = lab.disks.digests(host)
    wait.until("serfHealth turns critical", lambda: lab.consul.serf_health(host) == "critical", 60)
    assert lab.disks.digests(host) == left, "a byte of a dead host's disks changed and nobody had taken them"
    started = time.monotonic()
    lab.arrays.assemble("ha1", host)
    print(f"assembled and mounted on ha1 in {time.monotonic() - started:.1f} s; acknowledged {acknowledged}")
    assert lab.arrays.holders(host) == ["ha1"]
    assert lab.arrays.wrong("ha1", host) == []
    found = lab.arrays.last_record("ha1", guest)
    assert found >= acknowledged, f"record {acknowledged} was acknowledged, the last that is there is {found}"
    assert lab.disks.digests(host) != left, "md and XFS write when they are taken"
    lab.arrays.release("ha1")
    assert lab.arrays.holders(host) == []


def boots_again(lab):
    machine = lab.machine("compute2")
    first = machine.boot_id()
    machine.install_file("/var/lib/nova-ha/kept", "kept\n")
    machine.exec("touch", "/run/lost", check=True)
    lab.cut("compute2")
    machine.install_file("/etc/nova-ha/while-off", "taken in\n")
    lab.power_on("compute2")
    lab.power_on("compute1")
    for name in ("compute1", "compute2"):
        lab.machine(name).wait_up()
        lab.wait_for_agent(name)
        assert lab.arrays.holders(name) == [], f"the array of {name} came up by itself at its boot"
    assert machine.boot_id() != first
    assert machine.read_file("/var/lib/nova-ha/kept") == "kept\n" and machine.read_file("/etc/nova-ha/while-off") == "taken in\n"
    assert machine.exec("test", "-e", "/run/lost").code == 1
    lab.arrays.assemble("compute2", "compute2")
    assert lab.arrays.wrong("compute2", "compute2") == []


def bays(lab):
    """compute1 is up again and has not taken its array: its disks are for ha2 now."""
    lab.disks.pull("compute1", 0)
    lost = lab.disks.wwn("compute1", 0)
    for name in ("compute1", "ha2"):
        assert lost not in lab.machine(name).exec("sh", "-c", "cat /sys/block/*/device/wwid").out, f"{name} still sees {lost}"
    lab.arrays.assemble("ha2", "compute1")
    degraded = lab.machine("ha2").exec("sh", "-c", "cat /sys/block/md*/md/degraded", check=True).out.strip()
    assert degraded == "1" and lab.arrays.wrong("ha2", "compute1") == [], degraded
    lab.arrays.release("ha2")
    kept = lab.disks.replace("compute1", 0)
    assert kept.exists() and lab.disks.wwn("compute1", 0) != lost
    for name in ("compute1", "ha2"):
        lab.machine(name).exec("test", "-b", lab.disks.by_id("compute1", 0), check=True)
    assert lab.machine("ha2").exec("mdadm", "--examine", lab.disks.by_id("compute1", 0)).code != 0, "the new disk is blank"
    lab.disks.pull("compute1", 3, machines=["ha1"])
    wwn = lab.disks.wwn("compute1", 3)
    assert wwn not in lab.machine("ha1").exec("sh", "-c", "cat /sys/block/*/device/wwid").out
    assert wwn in lab.machine("ha2").exec("sh", "-c", "cat /sys/block/*/device/wwid").out, "only the path of ha1 is broken"
    lab.disks.put_back("compute1", 3)
    assert wwn in lab.machine("ha1").exec("sh", "-c", "cat /sys/block/*/device/wwid").out


def network(lab):
    for break_it, mend_it in ((lab.unplug, lab.replug), (lab.isolate, lab.rejoin)):
        break_it("compute2")
        assert not pings(lab, "compute2") and seen_from_ha3(lab, "compute2") == "silent"
        assert lab.lives("compute2") and lab.power_reads("compute2") is True, "it lives, and its BMC has a cable of its own"
        assert lab.machine("compute2").exec("true").code == 0, "the lab reaches in all the same"
        mend_it("compute2")
        wait.until("it is back", lambda: pings(lab, "compute2"), 10)
    lab.partition("ha3", "compute2")
    assert not pings(lab, "compute2")
    ping = ("ping", "-n", "-q", "-c", "1", "-W", "2", "compute2")
    wait.until("only this pair is apart", lambda: lab.machine("ha1").exec(*ping).code == 0, 10)
    lab.mend("ha3", "compute2")
    wait.until("they reach each other again", lambda: pings(lab, "compute2"), 10)
    lab.kill_sshd("compute2")
    assert seen_from_ha3(lab, "compute2") == "refused"
    lab.start_service("compute2", "sshd")
    wait.until("sshd is back", lambda: seen_from_ha3(lab, "compute2") == "banner", 10)
    lab.kill_nova_compute("compute2")
    wait.until("the cloud sees its nova-compute down", lambda: not lab.cloud.state()["hosts"]["compute2"]["up"], 15)
    lab.start_service("compute2", "nova-compute")


def hang(lab):
    guest = lab.arrays.guests("compute2")[0]
    writer = lab.arrays.write("compute2", guest)
    wait.until("the guest writes", lambda: writer.acknowledged() > 5, 30)
    lab.hang("compute2")
    assert lab.lives("compute2") and not pings(lab, "compute2"), "its kernel stands still too"
    stopped = wait.until("its writes have ended", lambda: steady(lab, "compute2"), 10)
    lab.unhang("compute2")
    wait.until("it goes on as if nothing had been", lambda: writer.acknowledged() > 50 and lab.disks.digests("compute2") != stopped, 30)
    writer.stop()
    assert lab.arrays.last_record("compute2", guest) >= writer.acknowledged()


def steady(lab, host):
    """The digests of a host's disks where nothing writes to them."""
    first = lab.disks.digests(host)
    time.sleep(0.5)
    return first if lab.disks.digests(host) == first else None


def panic_and_reset(lab):
    lab.panic("compute1")
    assert not lab.lives("compute1") and lab.power_reads("compute1") is True, "a panic leaves the power on"
    assert seen_from_ha3(lab, "compute1") == "silent" and not pings(lab, "compute1")
    lab.power_on("compute1")
    assert not lab.lives("compute1"), "its power is on already: pressing the button boots nothing"
    lab.reboot("compute1")
    lab.machine("compute1").wait_up()
    wait.until("sshd answers", lambda: seen_from_ha3(lab, "compute1") == "banner", 20)
    assert lab.arrays.holders("compute1") == []


def systemd(lab):
    machine = lab.machine("compute1")
    lab.cut("compute1")
    machine.change_spec(lambda spec: spec.update(init="systemd"))
    machine.install_file("/etc/systemd/system/guard.service", GUARD)
    machine.link_file("/etc/systemd/system/nova-compute.service.requires/guard.service", "/etc/systemd/system/guard.service")
    lab.power_on("compute1")
    machine.wait_up()
    lab.wait_for_agent("compute1")
    assert machine.exec("cat", "/proc/1/comm").out.strip() == "systemd"
    wait.until("sshd answers", lambda: seen_from_ha3(lab, "compute1") == "banner", 20)
    state = machine.exec("systemctl", "show", "-P", "ActiveState", "guard.service", "nova-compute.service").out.split()
    assert state == ["activating", "inactive"], state
    assert lab.arrays.holders("compute1") == [], "udev and systemd assemble nothing either"
    machine.exec("touch", "/run/open", check=True)
    wait.until("what waited for the guard starts", lambda: lab.cloud.state()["hosts"]["compute1"]["up"], 20)
    lab.arrays.assemble("compute1", "compute1")
    assert lab.arrays.wrong("compute1", "compute1") == []
