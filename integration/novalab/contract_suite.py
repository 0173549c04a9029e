"""Builds the client's half of the contract (`tests/nova_contract/`) and runs it inside the lab, against the real cloud."""

import json
import subprocess
from typing import TYPE_CHECKING

from novalab import paths

if TYPE_CHECKING:
    from novalab.cluster import Lab

NAME = "nova_contract"
# Of the first build of a fresh clone.
BUILD_SECONDS = 900
RUN_SECONDS = 300


def executable(name: str = NAME) -> str:
    """Cargo's path of a test, built if need be. Raises RuntimeError."""
    done = subprocess.run(["cargo", "test", "--quiet", "--no-run", "--test", name, "--message-format=json"], cwd=paths.REPO,
                          capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    made = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    found = [m["executable"] for m in made if m.get("reason") == "compiler-artifact" and m["target"]["name"] == name]
    if done.returncode != 0 or not found:
        raise RuntimeError(f"cargo test --no-run --test {name}: exit {done.returncode}: {done.stderr[-2000:]}")
    return found[-1]


def run(lab: "Lab", control: str) -> None:
    """All of it, one test after the other, as they share one cloud. Raises AssertionError with its output."""
    env = {"NOVA_HA_CONTRACT": control, "RUST_BACKTRACE": "1"}
    done = lab.machine("ha1").exec(executable(), "--test-threads=1", env=env, timeout=RUN_SECONDS)
    print(done, flush=True)
    assert done.code == 0, f"the client's contract is broken: {done}"
