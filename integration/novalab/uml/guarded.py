"""A host with the boot guard as docs/boot-guard.md has an operator install it, and what systemd says of the order.

    guarded.install(lab, "compute1")      the host lives and its array is mounted; its next boot is guarded

Everything is the product's own, from consul-watches/; what a site adds is the lab's: where Consul is, and that md's
members are SCSI disks.
"""

import json
import re

from novalab import paths, wait
from novalab.product import FOLDER, TOKENS
from novalab.uml.guests import INSTANCES

WATCHES = paths.REPO / "consul-watches"
STORAGE, COMPUTE = "nova-ha-boot-guard@storage.service", "nova-ha-boot-guard@compute.service"
ARRAYS, MOUNT, NOVA = "nova-ha-guest-storage.service", "var-lib-nova-instances.mount", "nova-compute.service"
# In the order in which a host that has its own storage comes to each.
ORDER = (STORAGE, ARRAYS, MOUNT, COMPUTE, NOVA)
SYSTEMD = ("nova-ha-boot-guard@.service", "nova-ha-boot-guard-record.service", "nova-ha-guest-storage.service", "var-lib-nova-instances.mount.d/nova-ha.conf",
           "nova-compute.service.d/nova-ha.conf")
# Step 1 of the document: the product's two lines, beside what the lab's machines need.
MDADM = "HOMEHOST <system>\nMAILADDR root\nDEVICE /dev/sd*\n"
# Step 2: what an operator types. mdadm would find the same bytes on what the lab's SCSI disks are made of.
ARRAYS_FILE = f"""set -e
echo 'DEVICE /dev/sd*' > /etc/nova-ha/guest-arrays.conf
line=$(mdadm --detail --brief $(findmnt -n -o SOURCE {INSTANCES})) && echo "$line" | sed 's/ name=[^ ]*//' >> /etc/nova-ha/guest-arrays.conf
grep -q UUID= /etc/nova-ha/guest-arrays.conf
"""
# How often the guard asks; of a boot that must not go on, several questions are watched.
INTERVAL_SECONDS = 5


def keep_md_from_assembling(lab, name):
    """Step 1, on hosts and HA nodes alike. The initramfs of the lab's machines has no mdadm in it: nothing to update."""
    lab.machine(name).install_file("/etc/mdadm/mdadm.conf", MDADM + (WATCHES / "mdadm" / "nova-ha.conf").read_text(encoding="utf-8"))


def is_what_keeps_md_from_assembling(lab, name, host):
    """The counter-check of step 1, on an HA node while the host is off: without the product's lines udev assembles the host's
    array there, and with them it does not."""
    machine = lab.machine(name)
    machine.install_file("/etc/mdadm/mdadm.conf", MDADM)
    found_anew(machine)
    wait.until(f"udev assembles the array of {host} on {name}", lambda: lab.arrays.holders(host) == [name], 30)
    machine.exec("udevadm", "settle", "-t", "20", check=True)
    machine.exec("sh", "-c", "mdadm --stop --scan", check=True)
    keep_md_from_assembling(lab, name)
    found_anew(machine)
    machine.exec("udevadm", "settle", "-t", "20", check=True)
    wait.never(f"udev assembles the array of {host} on {name}", lambda: lab.arrays.holders(host), 3)


def found_anew(machine):
    """For udev all of its disks have just come."""
    machine.exec("udevadm", "trigger", "--action=add", "--subsystem-match=block", check=True)


def install(lab, host, array_of=None):
    """All steps but the last, which is to reboot once. Mounted is its own array, or that of another one that it keeps."""
    machine = lab.machine(host)
    keep_md_from_assembling(lab, host)
    machine.exec("sh", "-c", ARRAYS_FILE, check=True)
    machine.exec("ln", "-sf", f"{FOLDER}/nova-ha-boot-guard", "/usr/bin/nova-ha-boot-guard", check=True)
    machine.install_file("/usr/bin/assemble-guest-arrays", (WATCHES / "assemble-guest-arrays").read_bytes(), 0o755)
    for unit in SYSTEMD:
        machine.install_file(f"/etc/systemd/system/{unit}", (WATCHES / "systemd" / unit).read_bytes())
    machine.install_file("/etc/fstab", f"UUID={lab.arrays.filesystem(array_of or host)} {INSTANCES} xfs "
                                       "nofail,x-systemd.device-timeout=infinity 0 0\n")
    token = f"CONSUL_HTTP_TOKEN_FILE={TOKENS}/boot-guard\n" if lab.shape.acl else ""
    machine.install_file("/etc/nova-ha/boot-guard.env", f"CONSUL_HTTP_ADDR=http://127.0.0.1:8500\n{token}")
    machine.exec("systemctl", "daemon-reload", check=True)
    machine.exec("systemctl", "enable", "nova-ha-guest-storage", check=True)
    # The lab's reboot is a power cut, an operator's is not.
    machine.exec("sync", check=True)


def uninstall(lab, name):
    """What `rejoin --swap-roles` says is left to do on a host that is an HA node from now on."""
    machine = lab.machine(name)
    machine.exec("sh", "-c", "rm /etc/systemd/system/*nova-compute.service.d/nova-ha.conf", check=True)
    machine.exec("systemctl", "daemon-reload", check=True)
    machine.exec("systemctl", "disable", "--now", "nova-ha-guest-storage", check=True)
    machine.install_file("/etc/fstab", "")
    machine.exec("sync", check=True)


def off_and_on(lab, host, before=lambda: None):
    """A person works on the host, in maintenance; `before` is done while it is off."""
    lab.admin("nova-ha", "maintenance", "on", host, "--by", "ann")
    lab.cut(host)
    before()
    lab.power_on(host)
    lab.machine(host).wait_up()


def in_service(lab, host):
    """The work is over: it is watched again, and has published that its storage waited for the guard."""
    lab.wait_for_agent(host)
    lab.publish(host)
    published = json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{host}/internal/runtime_config"))
    assert published["boot_guard"] is True, published
    lab.admin("nova-ha", "maintenance", "off", host, "--by", "ann")
    lab.wait_observed()


def says(machine, unit=STORAGE):
    """What the guard said in this boot, by the journal."""
    return machine.exec("journalctl", "-b", "-o", "cat", "-u", unit).out


def wait_says(machine, words, unit=STORAGE, timeout=60):
    """Until the guard has said the words in this boot; returns all that it said."""
    return wait.until(f"{unit} on {machine.name} says {words!r}", lambda: (said := says(machine, unit)) and words in said and said,
                      timeout)


def states(machine):
    """`{unit: ActiveState}` of all that the guard orders."""
    return {unit: machine.exec("systemctl", "show", "-P", "ActiveState", unit).out.strip() for unit in ORDER}


def wait_started(lab, host, timeout=60, array_of=None):
    """Until the host has its array, its filesystem and its nova-compute, for systemd and for the cloud."""
    machine = lab.machine(host)
    wait.until(f"all of {host} is started", lambda: ((found := states(machine)) and set(found.values()) == {"active"}) or _no(found), timeout)
    wait.until(f"the cloud hears of {host}", lambda: lab.cloud.state()["hosts"][host]["up"], 20)
    assert lab.arrays.holders(array_of or host) == [host]
    assert f" {INSTANCES} xfs " in machine.read_file("/proc/mounts")


def _no(found):
    raise AssertionError(str(found))


def assert_down(lab, host, storage="activating", compute="activating"):
    """Nothing that belongs to the guests runs on the host, for systemd, for its kernel and for the cloud."""
    machine = lab.machine(host)
    found = states(machine)
    assert found == {STORAGE: storage, ARRAYS: "inactive", MOUNT: "inactive", COMPUTE: compute, NOVA: "inactive"}, found
    assert not re.search(r"^md", machine.read_file("/proc/mdstat"), re.MULTILINE), machine.read_file("/proc/mdstat")
    assert not machine.processes(lab.cloud.compute_word) and INSTANCES not in machine.read_file("/proc/mounts")


def assert_order(machine):
    """The order of this boot, by systemd's clock and, for the array and its filesystem, by the kernel's own.

    Of the mount only the kernel's word counts: systemd may note a moment later that it begins, and that it is there.
    """
    begun, done = ({unit: _stamp(machine, unit, stamp) for unit in ORDER}
                   for stamp in ("InactiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic"))
    kernel = {"array": _kernel(machine, r"md/raid10:\S+: active with"), "mount": _kernel(machine, r"XFS \(md\S+\): Mounting")}
    line = [("the guard let the storage start", done[STORAGE]), ("its arrays begin", begun[ARRAYS]), ("md runs", kernel["array"]),
            ("its arrays run", done[ARRAYS]), ("XFS mounts", kernel["mount"]), ("the guard let nova-compute start", done[COMPUTE]),
            ("nova-compute begins", begun[NOVA])]
    for (earlier, at), (later, then) in zip(line, line[1:]):
        assert 0 < at <= then, f"{earlier} at {at} us, {later} at {then} us: {line}"
    return line


def _stamp(machine, unit, stamp):
    return int(machine.exec("systemctl", "show", "-P", stamp, unit, check=True).out)


def _kernel(machine, words):
    """When the kernel said so first in this boot, in microseconds of its monotonic clock."""
    for line in machine.exec("dmesg", "--color=never", check=True).out.splitlines():
        stamp = re.match(r"\[\s*(\d+)\.(\d{6})\] " + words, line)
        if stamp:
            return int(stamp[1]) * 1_000_000 + int(stamp[2])
    raise AssertionError(f"the kernel of {machine.name} has not said {words!r}")
