"""A machine's way to a shelf: one iSCSI session, which iscsid keeps. Who the machine is there, the lab has written into its
/etc/iscsi, see ../shelf.py."""

import shutil
import subprocess

from novalab.uml.inside import disks

# What iscsiadm knows of targets. The last boot may have ended while it was written.
KNOWN = "/etc/iscsi/nodes"
LOGIN_SECONDS = 60


def log_in(target, portal, serials):
    """Logs in, and returns once every disk is there."""
    subprocess.run(["modprobe", "iscsi_tcp"], check=True)
    shutil.rmtree(KNOWN, ignore_errors=True)
    subprocess.run(["iscsid"], check=True)
    node = ["iscsiadm", "-m", "node", "-T", target, "-p", portal]
    subprocess.run([*node, "-o", "new"], check=True, timeout=LOGIN_SECONDS)
    subprocess.run([*node, "--login"], check=True, timeout=LOGIN_SECONDS)
    for serial in serials:
        disks.wait_for(serial, True)
