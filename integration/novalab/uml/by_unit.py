"""An HA node that recovers by the product's own unit, as an operator installs it, and what the unit's sandbox leaves it.

    by_unit.install(lab, "ha1")      from now on start-recover, by watch and by sweep, starts nova-ha-recover.service
"""

from novalab import paths, wait
from novalab.product import FOLDER
from novalab.uml.guests import INSTANCES

UNIT, PATH = "nova-ha-recover.service", "nova-ha-recover.path"
MONITORS = "/run/nova-ha-monitor"
# What the image of the lab's machines has not: the agents of the outer machine, and the modules that they are written with.
MODULES = "/usr/lib/python3/dist-packages"
FOLDERS = ("/usr/share/fence", f"{MODULES}/pexpect", f"{MODULES}/ptyprocess")
# Every agent imports it, and this one does nothing with it.
UNUSED = f"{MODULES}/pycurl.py"
AGENT = "/usr/sbin/fence_ipmilan"


def install(lab, name):
    """The unit, unchanged, and one fence agent."""
    machine = lab.machine(name)
    machine.exec("ln", "-sf", f"{FOLDER}/nova-ha-recover", "/usr/bin/nova-ha-recover", check=True)
    for unit in (UNIT, PATH):
        machine.install_file(f"/etc/systemd/system/{unit}", (paths.REPO / "consul-watches" / "systemd" / unit).read_bytes())
    for folder in FOLDERS:
        machine.exec("mkdir", "-p", folder, check=True)
        machine.exec("mount", "-t", "hostfs", "-o", f"ro,{folder}", "none", folder, check=True)
    with open(AGENT, "rb") as agent:
        machine.install_file(AGENT, agent.read(), 0o755)
    machine.install_file(UNUSED, "")
    machine.exec(AGENT, "-o", "metadata", check=True, timeout=30)
    machine.exec("systemctl", "daemon-reload", check=True)


def what_a_mount_namespace_hides(lab, name):
    """Why the unit has no ProtectHome=: with it a mount is seen by nobody else, and is gone with its unit. With all that the
    unit has it is seen."""
    machine = lab.machine(name)
    unit = (paths.REPO / "consul-watches" / "systemd" / UNIT).read_text(encoding="utf-8")
    confined = unit[unit.index("NoNewPrivileges="):].splitlines()
    shipped = [line for line in confined if "=" in line and not line.startswith("#")]
    machine.exec("mkdir", "-p", "/mnt/tried", check=True)
    for more, seen in ((["ProtectHome=read-only"], False), ([], True)):
        words = ["[Service]", "Type=oneshot", "ExecStart=/bin/mount -t tmpfs tried /mnt/tried", *shipped, *more]
        machine.install_file("/run/systemd/system/tried.service", "\n".join(words) + "\n")
        machine.exec("systemctl", "daemon-reload", check=True)
        machine.exec("systemctl", "start", "tried", check=True, timeout=30)
        assert (" /mnt/tried tmpfs " in machine.read_file("/proc/1/mounts")) == seen, (more, seen)
    machine.exec("umount", "/mnt/tried", check=True)


def a_user_asks_by_a_file(lab, name):
    """Who is not root, and owns the monitor's folder alone, has the unit run by touching a file there. The sweep, which would
    start it too, pauses meanwhile."""
    machine = lab.machine(name)
    machine.exec("systemctl", "stop", "sweep", check=True)
    machine.exec("install", "-d", "-o", "nobody", "-m", "0755", MONITORS, check=True)
    machine.exec("systemctl", "start", PATH, check=True)

    def runs():
        return machine.exec("systemctl", "show", "-P", "InvocationID", UNIT, check=True).out.strip()

    def rests():
        return machine.exec("systemctl", "is-active", UNIT).out.strip() == "inactive"
    wait.until(f"{UNIT} has ended", rests, 30)
    before = runs()
    wait.never("it runs and nobody asked", lambda: runs() != before, 3)
    machine.exec("setpriv", "--reuid", "nobody", "--clear-groups", "sh", "-c", f": > {MONITORS}/start-recover", check=True)
    wait.until("it runs because somebody asked", lambda: runs() != before, 15)
    wait.until(f"{UNIT} has ended", rests, 30)
    machine.exec("systemctl", "start", "sweep", check=True)


def recovered(lab, name, incident):
    """It was this unit that recovered; it has ended, and nova-compute sees what it mounted."""
    machine = lab.machine(name)
    said = machine.exec("journalctl", "-b", "-o", "cat", "-u", UNIT, check=True).out
    assert incident.id in said, said
    wait.until(f"{UNIT} has ended", lambda: machine.exec("systemctl", "is-active", UNIT).out.strip() == "inactive", 30)
    pid = machine.exec("systemctl", "show", "-P", "MainPID", "nova-compute.service", check=True).out.strip()
    assert pid not in ("", "0"), "nova-compute is no unit here, or does not run"
    assert f" {INSTANCES} xfs " in machine.read_file(f"/proc/{pid}/mounts")
    assert f" {INSTANCES} xfs " in machine.read_file("/proc/1/mounts")
