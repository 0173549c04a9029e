"""Where things of the real cloud are: addresses inside the lab's network, and what was installed."""

import hashlib
import os
from pathlib import Path

from novalab import paths

NODE = "cloud"
ADDRESS = "10.77.0.10"
# All inside the namespace of the node; nova-api itself listens behind the gate.
KEYSTONE, PLACEMENT, GLANCE, NEUTRON, NOVA, NOVA_BEHIND, RABBIT = 5000, 8778, 9292, 9696, 8774, 18774, 5672
USER, PASSWORD, PROJECT, REGION = "admin", "secret", "admin", "RegionOne"

HERE = Path(__file__).resolve().parent
PINS = paths.INTEGRATION / "openstack"
CACHE = Path(os.environ.get("NOVALAB_CACHE", "/nonexistent")) / "openstack"
VENV = CACHE / "venv"
# What a template depends on: the versions that made the schemas and the code that filled them.
TEMPLATE_CODE = ("template.py", "config.py", "catalog.py", "places.py")


def program(name: str) -> Path:
    """A program of the venv."""
    return VENV / "bin" / name


def template() -> Path:
    """The folder of the database template that fits this code and these versions."""
    digest = hashlib.sha256()
    for path in [PINS / "constraints.txt", PINS / "requirements.txt", *(HERE / name for name in TEMPLATE_CODE)]:
        digest.update(path.read_bytes())
    return CACHE / f"template-{digest.hexdigest()[:16]}"
