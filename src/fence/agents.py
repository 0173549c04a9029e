#!/usr/bin/env python3
"""Makes agents.txt, the table of what the tree may say to a fence agent, from what each agent says of itself.

    python3 src/fence/agents.py [FOLDER] > src/fence/agents.txt

FOLDER is /usr/sbin of Debian's packages fence-agents and fence-agents-common, or where `dpkg -x` has put it. Every
agent is asked for its metadata, and nothing else. Names of agents and of their options are facts about their command
line; no text of the agents (GPL-2+) is in the table.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

# No power switch of the machine, or not to be had by the metadata. Root's local.toml may name one all the same.
NO_POWER_SWITCH = {
    "fence_ack_manual": "a person's word: nova-ha confirm-off",
    "fence_compute": "evacuates guests by itself",
    "fence_evacuate": "evacuates guests by itself",
    "fence_crosslink": "takes silence for off",
    "fence_heuristics_ping": "switches nothing",
    "fence_kdump": "takes a crash dump for off",
    "fence_dummy": "switches nothing",
    "fence_scsi": "takes disks away, and leaves the machine on",
    "fence_mpath": "takes disks away, and leaves the machine on",
    "fence_sbd": "writes to the block devices that it is given",
}

# As `may_be_set` of src/local/agents.rs: what is run, read or written on the HA node, and as whom.
NEVER = re.compile(r".*_path|.*_file|.*_script|.*debug.*|.*sudo.*|ssh_options|exec|runon.*|logfile"
                   r"|action|option|o|method")

# Nothing that a power switch needs to be told, or the name of a file or device of the HA node.
NOT_SHIPPED = {
    "cacert", "tlscacert", "tlscert", "tlskey", "kubeconfig", "openrc", "serviceaccount", "serial_port", "devices",
    "missing_as_off",  # a plug that is not there would be a machine that is off
    "help", "usage", "version", "verbose", "verbose_level",
}


def options(agent):
    """The names of its options, with _ for -."""
    done = subprocess.run([agent, "-o", "metadata"], stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    text = done.stdout.decode("utf-8", "replace")
    tree = ElementTree.fromstring(text[text.index("<"):])
    return {parameter.get("name").replace("-", "_") for parameter in tree.iter("parameter")}


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/sbin")
    version = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "fence-agents"], capture_output=True, text=True, check=True)
    print(f"# Made by agents.py from the metadata of Debian 12's fence-agents {version.stdout}; do not edit.")
    print("# AGENT: the options that the tree may say, with _ for -.")
    for agent in sorted(folder.glob("fence_*")):
        if agent.name not in NO_POWER_SWITCH:
            names = sorted(name for name in options(agent) if not NEVER.fullmatch(name.lower()) and name not in NOT_SHIPPED)
            print(f"{agent.name}: {' '.join(names)}")


if __name__ == "__main__":
    main()
