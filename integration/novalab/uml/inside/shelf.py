"""The disks of a shelf as the iSCSI target that it is: LIO's, with an access list for each machine that may see any.

A reservation is the target's, and a registration is a machine's by its initiator name: both outlive its session, as they do
where a host that lost its power was registered with a disk of a SAS or Fibre Channel shelf.
"""

import os
import subprocess

from novalab.uml.inside import disks

ISCSI = f"{disks.TARGET}/iscsi"
# What the names of the shelf and of all initiators begin with.
AUTHORITY = "iqn.2026-11.example.nova-ha-lab"
NAME = f"{AUTHORITY}:shelf"
PORT = 3260


def export(own, exports, address):
    """Every disk, and for each initiator those that it may see, numbered in an order of its own."""
    disks.keep_registrations()
    subprocess.run(["modprobe", "iscsi_target_mod"], check=True)
    disks.mount_configfs()
    group = f"{ISCSI}/{NAME}/tpgt_1"
    disks.make(ISCSI, os.path.dirname(group), group, f"{group}/np/{address}:{PORT}")
    disks.write("0", f"{group}/attrib/authentication")
    units = {}
    for number, disk in enumerate(own):
        disks.backstore(disk["ubd"], disk["serial"])
        units[disk["serial"]] = disks.unit(group, number, disk["serial"])
    for export_ in exports:
        allow(f"{group}/acls/{export_['initiator']}", [units[serial] for serial in export_["disks"]])
    disks.write("1", f"{group}/enable")


def allow(access, units):
    """One initiator's access list."""
    disks.make(access)
    for number, unit in enumerate(units):
        mapped = f"{access}/lun_{number}"
        disks.make(mapped)
        os.symlink(unit, f"{mapped}/unit")
