"""The BMCs: `ipmi_sim` in a network namespace of its own for each machine, its chassis program the power latch.

The GUID that an IPMI BMC reports is the machine's product_uuid, written into ipmi_sim's config as the plain hex
digits of the UUID; which byte order ipmitool shows for it is in ../README.md (measured).
"""

import os
import subprocess
import uuid
from pathlib import Path

from novalab import paths

PORT = 623
USER, PASSWORD = "admin", "Bmc-secret.1"
# A session of privilege USER may read the power and not change it. The simulator limits the session to what was asked
# for (`ipmitool -L USER`) and not to what the account may: without -L this account gets an administrator's session.
VIEWER, VIEWER_PASSWORD = "viewer", "Viewer-only.1"
# The only cipher suite of the simulator that is not broken; modern BMCs want 17, it offers none.
CIPHER = 3

CONFIG = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} {port}
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid {guid}
  endlan
  chassis_control "{python} -I -S {program} {state} {name}"
  user 1 true  "" "{nobody}" user 10 none md2 md5 straight
  user 2 true  "{user}" "{password}" admin 10 none md2 md5 straight
  user 3 true  "{viewer}" "{viewer_password}" user 10 none md2 md5 straight
"""

EMULATION = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""


def node(machine):
    """The BMC's name on the network, which is also its service's name."""
    return f"bmc-{machine.name}"


def folder(machine):
    """Where its config and the files of its faults are."""
    return Path(machine.state) / "bmc" / machine.name


def install(machine):
    """Writes the simulator's config."""
    place = folder(machine)
    (place / "state").mkdir(parents=True)
    (place / "lan.conf").write_text(CONFIG.format(
        name=machine.name, address=machine.bmc_address, port=PORT, guid=uuid.UUID(machine.uuid).hex,
        python=paths.PYTHON, program=paths.HERE / "latch.py", state=machine.state, nobody="no-login-by-this",
        user=USER, password=machine.bmc_password, viewer=VIEWER, viewer_password=VIEWER_PASSWORD), encoding="utf-8")
    (place / "bmc.emu").write_text(EMULATION, encoding="utf-8")


def start(machine, registry, network):
    """Starts it in its namespace, which exists already."""
    place = folder(machine)
    registry.start(node(machine), ["ipmi_sim", "-n", "-c", place / "lan.conf", "-f", place / "bmc.emu",
                                   "-s", place / "state"], namespace=network.namespace(node(machine)))


def ipmitool(machine, *words, user=USER, password=None, namespace, level="ADMINISTRATOR", retries=2):
    """Runs ipmitool against a machine's BMC from a namespace; returns (exit code, output)."""
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{namespace}", "ipmitool", "-I", "lanplus", "-H", machine.bmc_address, "-p",
         str(PORT), "-U", user, "-E", "-C", str(CIPHER), "-L", level, "-N", "1", "-R", str(retries), *words],
        env={**os.environ, "IPMI_PASSWORD": password or machine.bmc_password}, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()
