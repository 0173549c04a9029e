"""Gets the parts of the real cloud onto this machine, once: see `../../openstack/install.sh`."""

import subprocess

from novalab.openstack import places


def is_there() -> bool:
    """Whether it was installed, by the marker that the script writes last."""
    return (places.VENV / ".made").exists()


def ensure() -> None:
    """Installs what is missing; milliseconds where nothing is. Raises RuntimeError."""
    done = subprocess.run(["bash", str(places.PINS / "install.sh"), str(places.CACHE.parent)], check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the parts of OpenStack could not be installed (exit {done.returncode})")
