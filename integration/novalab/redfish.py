"""Machines whose BMC speaks Redfish over https (or http) instead of IPMI: sushy-emulator moving the same latch."""

import json
import subprocess

from novalab import bmc, paths, sshd

PORT = 443
PLAIN_PORT = 80
# How long a power command takes to show, in seconds: a client that reads at once must see the old state.
DELAY = 0.5
# htpasswd -bnB admin Bmc-secret.1 (cost 4: each request pays for it)
AUTH = "$2b$04$7NNOQX7IliNbrr20TMMPmOP.ofDZEMaXRvr9rnLyWXL8iRZNl4QS2"


def make_authority(folder):
    """One certificate for all Redfish BMCs of a run, signed by a CA of its own; `ca.pem` is what clients trust."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=20)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-days", "30", "-subj", "/CN=nova-ha lab CA", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", *key, "-subj", "/CN=redfish", "-keyout", "bmc.key", "-out", "bmc.csr")
    names = ",".join(f"IP:10.77.2.{i}" for i in range(1, 101))
    (folder / "san.cnf").write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n", encoding="utf-8")
    openssl("x509", "-req", "-in", "bmc.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "30",
            "-extfile", "san.cnf", "-out", "bmc.pem")


def install(machine, authority, plain=False):
    """Writes the emulator's settings. `plain`: it speaks http, on another port; from its next start on."""
    place = bmc.folder(machine)
    (place / "state").mkdir(parents=True, exist_ok=True)
    (place / "htpasswd").write_text(f"{bmc.USER}:{_hashed(machine.bmc_password)}\n", encoding="utf-8")
    (place / "redfish.json").write_text(json.dumps({
        "uuid": machine.uuid, "mac": "02:77:00:00:00:%02x" % machine.index, "machine_address": machine.address,
        "address": machine.bmc_address, "port": PLAIN_PORT if plain else PORT, "state_dir": str(place / "state"),
        "auth_file": str(place / "htpasswd"), "certificate": None if plain else str(authority / "bmc.pem"),
        "key": None if plain else str(authority / "bmc.key"), "delay": DELAY}), encoding="utf-8")


def _hashed(password):
    if password == bmc.PASSWORD:
        return AUTH
    return sshd.crypt.crypt(password, sshd.crypt.mksalt(sshd.crypt.METHOD_BLOWFISH, rounds=16))


def start(machine, registry, network):
    """Starts it in its namespace, which exists already. It listens about a second later."""
    registry.start(bmc.node(machine), [paths.VENV / "bin" / "python", "-I", paths.HERE / "redfish_app.py",
                                       machine.state, machine.name],
                   namespace=network.namespace(bmc.node(machine)))


def path(machine):
    """Where its one system is, below its address."""
    return f"/redfish/v1/Systems/{machine.uuid}"


def url(machine, plain=False):
    """Where its one system is."""
    origin = f"http://{machine.bmc_address}:{PLAIN_PORT}" if plain else f"https://{machine.bmc_address}:{PORT}"
    return f"{origin}{path(machine)}"


def curl(machine, authority, namespace, *words, timeout=5):
    """curl against the BMC with its credentials; returns (exit code, output)."""
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{namespace}", "curl", "-sS", "-m", str(timeout), "--cacert",
         str(authority / "ca.pem"), "-u", f"{bmc.USER}:{machine.bmc_password}", *words],
        capture_output=True, text=True, timeout=timeout + 5, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()
