"""The nova-compute of a machine, from outside: what its PID 1 starts, what lies on its disk, what its hypervisor says.

The same in a namespace and behind a kernel of its own. There each machine writes a log of its own: what two kernels
append to one file outside would not stay whole.
"""

import re
import uuid
from pathlib import Path

from novalab.openstack import config, places, truth

# What it must be able to reach before it starts.
NEEDS = (places.KEYSTONE, places.PLACEMENT, places.RABBIT)
INSTANCES = "/var/lib/nova/instances"
LOG = "hypervisor.jsonl"
SERVER_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def service(machine, folder):
    """What a machine's PID 1 starts; `folder` is the cloud's in the run's state."""
    needs = [str(port) for port in NEEDS]
    return {"name": "nova-compute",
            "argv": [str(places.program("python")), "-I", str(places.HERE / "nova_service.py"), "nova-compute", places.ADDRESS,
                     *needs, "--", "--config-file", "/etc/nova/nova.conf"],
            "env": {"PATH": f"{places.VENV}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONDONTWRITEBYTECODE": "1",
                    "NOVALAB_HYPERVISOR_LOG": str(log(machine, folder)),
                    "NOVALAB_CONDUCTOR_FILE": str(folder / "conductor"),
                    "NOVALAB_EVACUATE_SECONDS": str(folder / "evacuate_seconds"), "no_proxy": "*"}}


def install(machine, shared):
    """Puts its config and its identity onto a machine's disk; `shared` is the folder of all guests, None where each has its own."""
    for folder in ("etc/nova", "var/lib/nova"):
        machine.opaque(folder)
    machine.install_file("/etc/nova/nova.conf", config.compute(machine.name, machine.address))
    # A compute node's identity, as a deployment tool writes it beforehand: the same at every run.
    machine.install_file("/var/lib/nova/compute_id", str(uuid.uuid5(uuid.UUID(machine.uuid), "compute node")))
    if not machine.has_disks:
        # The folder is there. In a root image it is already, and stays empty for what is mounted on it.
        machine.install_file(f"{INSTANCES}/.keep", "")
    machine.sees(str(places.VENV))
    if shared:
        machine.change_spec(lambda spec: spec.update(binds=[[str(shared), INSTANCES]]))


def log(machine, folder):
    """Where its hypervisor writes what happens."""
    return machine.folder / "log" / LOG if machine.has_disks else Path(folder) / LOG


def read_logs(machines, folder):
    """What all hypervisors wrote, in the order in which it happened; in that of writing where two have one time."""
    paths = dict.fromkeys([Path(folder) / LOG, *(log(machine, folder) for machine in machines)])
    return sorted((event for path in paths for event in truth.read(path)), key=lambda event: event["at"])


def guests_on(machine):
    """The guests (ids) whose directory is on a machine's own disk, or on what is mounted there."""
    return [name for name in machine.names(INSTANCES) if SERVER_ID.fullmatch(name)]
