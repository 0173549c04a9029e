"""A site as an older build left it: its tree, its ACL policies and its agents' configuration, as that build's own commands wrote
them, under the executables of now.

The folder has `tree.json` (as `consul kv export` writes it), `acl/` and `consul/MACHINE/`; what recorded it says which
machines there are. Where the guests' pool is, is different in each run.
"""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

from novalab import paths

if TYPE_CHECKING:
    from novalab.cluster import Lab

# Where the recorded site has the pool of its guests' disks.
POOL = "/srv/pool"


def folder(lab: "Lab") -> Path:
    """Where the recorded site is."""
    return paths.REPO / lab.shape.recorded


def pool(lab: "Lab") -> Path:
    """Where the guests' disks of this run are, on every machine."""
    return lab.state / "pool"


def configure(lab: "Lab") -> None:
    """Everything is there as it was before the upgrade; no command of the product is run."""
    for entry in json.loads((folder(lab) / "tree.json").read_text(encoding="utf-8")):
        value = base64.b64decode(entry["value"]).decode()
        lab.consul.put(entry["key"], value.replace(POOL, str(pool(lab))))
    # Consul takes no dot in a policy's name: the administrator called that machine's otherwise.
    lab.hand_out({f"{lab.policy_name(file.stem)}.hcl": file.read_bytes() for file in sorted((folder(lab) / "acl").glob("*.hcl"))})
    for machine in lab.machines.values():
        for file in (folder(lab) / "consul" / machine.name).glob("*.json"):
            machine.install_file(f"/etc/consul.d/{file.name}", file.read_bytes(), 0o600)
        lab.reload(machine.name)
    for machine in lab.hosts:
        lab.publish(machine.name)
