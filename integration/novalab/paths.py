"""Where things are: what the bootstrap found, and the state folder of each run.

A run's state lies in RAM (`/dev/shm`): Consul's raft log is fsynced there without waiting for a disk, and the
machines' overlay file systems need an upper layer that is not itself an overlay.
"""

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
INTEGRATION = HERE.parent
REPO = Path(os.environ.get("NOVALAB_REPO", INTEGRATION.parent))
BIN_DIR = Path(os.environ.get("NOVALAB_BIN_DIR", REPO / "target" / "lab"))
CONSUL = os.environ.get("NOVALAB_CONSUL", "consul")
VENV = Path(os.environ.get("NOVALAB_VENV", "/nonexistent"))
PYTHON = "/usr/bin/python3"
SCENARIOS = INTEGRATION / "scenarios"
# Logs of failed scenarios are kept here; the folder is the build's own and ignored by git.
KEPT_LOGS = BIN_DIR.parent / "lab-logs"

STATE_ROOT = Path("/dev/shm/nova-ha-lab")


def state_dir(run: str) -> Path:
    """The state folder of a run (a name of four hex digits)."""
    return STATE_ROOT / run


def runs() -> list[str]:
    """The runs that left a state folder, oldest first."""
    if not STATE_ROOT.is_dir():
        return []
    found = [p for p in STATE_ROOT.iterdir() if p.is_dir() and not p.is_symlink()]
    return [p.name for p in sorted(found, key=lambda p: p.stat().st_mtime)]
