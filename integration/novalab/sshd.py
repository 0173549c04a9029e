"""A real sshd for each machine, on port 22 of its own address, with its own host key and a user to log in as."""

import subprocess
import warnings
from pathlib import Path

with warnings.catch_warnings():
    # Debian 12's Python has it, and says that it goes in 3.13.
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

USER = "lab"
PASSWORD = "Lab-login.1"
# openssl passwd -6 -salt novahalab Lab-login.1
PASSWORD_HASH = "$6$novahalab$kmVeQ3z6FwSz/tf9.GeQox503fQMnAoHcxheKWR7eKvZICAoBwHcEKjoeg6FNlCWUXvVa6KQNrblfnpPkSkry0"
PORT = 22

CONFIG = """\
Port 22
HostKey /etc/ssh/ssh_host_ed25519_key
PidFile none
UsePAM no
UseDNS no
StrictModes no
PasswordAuthentication yes
KbdInteractiveAuthentication no
PermitRootLogin no
AuthorizedKeysFile /etc/ssh/authorized_keys
# Every HA node logs in every few seconds: the default would begin to drop connections at ten.
MaxStartups 100
Subsystem sftp internal-sftp
"""


def make_key(path, comment):
    """A new ed25519 key pair at `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)],
                   check=True, capture_output=True, timeout=10)


def install(machine, login_key):
    """Puts the server's files on the machine's disk. `login_key`: the private key of those who log in."""
    folder = Path(machine.folder)
    make_key(folder / "host_key", machine.name)
    machine.install_file("/etc/ssh/ssh_host_ed25519_key", (folder / "host_key").read_bytes(), 0o600)
    machine.install_file("/etc/ssh/ssh_host_ed25519_key.pub", (folder / "host_key.pub").read_bytes())
    machine.install_file("/etc/ssh/sshd_config", CONFIG)
    machine.install_file("/etc/ssh/authorized_keys", Path(f"{login_key}.pub").read_bytes())
    passwd, group = machine.accounts()
    machine.install_file("/etc/passwd", passwd + f"{USER}:x:4242:4242:lab login:/var/lib/{USER}:/bin/sh\n")
    machine.install_file("/etc/group", group + f"{USER}:x:4242:\n")
    word = PASSWORD_HASH if machine.ssh_password == PASSWORD else crypt.crypt(machine.ssh_password, crypt.METHOD_SHA512)
    machine.install_file("/etc/shadow", f"root:*:19000:0:99999:7:::\n{USER}:{word}:19000:0:99999:7:::\n", 0o600)
    machine.path(f"/var/lib/{USER}").mkdir(parents=True, exist_ok=True)


def service():
    """What PID 1 starts."""
    return {"name": "sshd", "argv": ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"]}


def host_key_line(machine):
    """The machine's public host key as OpenSSH writes it: `ssh-ed25519 AAAA... comment`."""
    return (machine.folder / "host_key.pub").read_text(encoding="utf-8").strip()
