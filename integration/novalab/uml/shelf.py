"""A shelf: the machine in which the shared disks are, where they are not each machine's own way to the same file.

All others are iSCSI initiators of it (inside/initiator.py, inside/shelf.py), over a network that no fault of the lab's network
touches. It is no host and no HA node: it has no Consul agent and no BMC, and `lab.machines` does not name it.
"""

from novalab.uml.inside import shelf as inner
from novalab.uml.machine import UmlMachine

NAME, INDEX = "shelf", 99
OPTIONS = {"memory_mb": 128, "init": "lean", "storage_network": True}
# A machine that stands still for a moment keeps its session; what a shelf that lost its power does not answer fails after
# half a minute. A write that a reservation refuses fails at once, whatever is said here.
SETTINGS = """\
node.startup = manual
node.session.timeo.replacement_timeout = 10
node.conn[0].timeo.noop_out_interval = 5
node.conn[0].timeo.noop_out_timeout = 15
"""


def make(state, run):
    """The shelf of a run."""
    return UmlMachine(state, run, NAME, "shelf", INDEX, OPTIONS)


def initiator(name):
    """A machine's initiator name: by it the shelf knows whose a registration is, after a reboot too."""
    return f"{inner.AUTHORITY}:{name}"


def connect(shelf, machine, serials):
    """Tells a machine that is off where its disks are; returns what the shelf has to export for it."""
    machine.install_file("/etc/iscsi/initiatorname.iscsi", f"InitiatorName={initiator(machine.name)}\n")
    machine.install_file("/etc/iscsi/iscsid.conf", SETTINGS)
    portal = f"{shelf.storage_address}:{inner.PORT}"
    machine.change_spec(lambda spec: spec.update(shelf={"target": inner.NAME, "portal": portal, "serials": serials}))
    return {"initiator": initiator(machine.name), "disks": serials}
