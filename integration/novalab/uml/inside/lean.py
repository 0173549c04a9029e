"""The lean init: udev, the lab's agent and the services of the spec, and nothing that is not asked for."""

import os
import subprocess
import time

from novalab import boot

AGENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agent.py")
# What the lab waits for.
UP = "/run/lab-is-up"


def agent(spec):
    """How the lab reaches in, as a service."""
    return {"name": "agent", "argv": ["/usr/bin/python3", "-I", "-S", AGENT, spec["inner_address"]]}


def devices():
    """udev with every device that is there: /dev/disk/by-id needs it."""
    subprocess.run(["/lib/systemd/systemd-udevd", "--daemon"], check=True)
    subprocess.run(["udevadm", "trigger", "--action=add", "--subsystem-match=block", "--subsystem-match=scsi",
                    "--subsystem-match=scsi_generic"], check=True)
    subprocess.run(["udevadm", "settle", "-t", "20"], check=False)


def main(spec, logs, tell):
    """Starts everything, then reaps for ever."""
    boot.start(agent(spec), spec["env"], logs)
    for service in spec["services"]:
        if service.get("delay"):
            time.sleep(service["delay"])
        boot.start(service, spec["env"], logs)
    devices()
    with open(UP, "w", encoding="utf-8"):
        pass
    tell("everything is started")
    boot.reap()
