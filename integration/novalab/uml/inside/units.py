"""systemd as the machine's init: the services of the spec become units, beside those that are installed on its disk.

A unit that lies in /etc wins over one of these, and drop-ins in /etc/systemd/system/NAME.service.d/ add to them.
"""

import os

from novalab.uml.inside import lean

UNITS = "/run/systemd/system"
# sshd is Debian's own unit's name, so that what is ordered after it is ordered after this.
NAMES = {"sshd": "ssh"}

TEXT = """\
[Unit]
Description=lab: {name}
{order}
[Service]
ExecStart={command}
{environment}
StandardOutput=append:{logs}/{name}.log
StandardError=append:{logs}/{name}.log
KillMode={kill}
"""
# The way in must be there however far the boot comes, and is no service of the machine.
AGENT_ORDER = "DefaultDependencies=no\n"
SERVICE_ORDER = "After=network.target\n"
UP_TEXT = f"""\
[Unit]
Description=lab: the boot is over
After=lab-agent.service sysinit.target
DefaultDependencies=no
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/touch {lean.UP}
"""


def quoted(word):
    """A word of ExecStart or Environment."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$") + '"'


def text(service, env, logs, order, kill="control-group"):
    """The unit of a service of a spec."""
    variables = {**env, **service.get("env", {})}
    lines = "\n".join(f"Environment={quoted(f'{name}={value}')}".replace("$$", "$") for name, value in variables.items())
    delay = f"ExecStartPre=/bin/sleep {service['delay']}\nTimeoutStartSec=infinity\n" if service.get("delay") else ""
    return TEXT.format(name=service["name"], order=order, command=" ".join(quoted(w) for w in service["argv"]),
                       environment=delay + lines, logs=logs, kill=kill)


def write(spec, logs, folder=UNITS):
    """Writes all units below `folder`, wanted by the target that the machine boots."""
    wanted = os.path.join(folder, "multi-user.target.wants")
    early = os.path.join(folder, "sysinit.target.wants")
    for place in (wanted, early):
        os.makedirs(place, exist_ok=True)
    made = [("lab-agent", text(lean.agent(spec), spec["env"], logs, AGENT_ORDER, "process"), early), ("lab-up", UP_TEXT, wanted)]
    made += [(NAMES.get(s["name"], s["name"]), text(s, spec["env"], logs, SERVICE_ORDER), wanted) for s in spec["services"]]
    for name, words, place in made:
        with open(os.path.join(folder, f"{name}.service"), "w", encoding="utf-8") as file:
            file.write(words)
        os.symlink(f"../{name}.service", os.path.join(place, f"{name}.service"))


def become_systemd(spec, logs):
    """This process is systemd from here on."""
    write(spec, logs)
    os.execve("/lib/systemd/systemd", ["/sbin/init"], {"PATH": os.environ["PATH"], "container": ""})
