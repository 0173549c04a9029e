"""`integration/lab check`: what tells whether a change is in the house's form. It starts no server and needs no root."""

import os
import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from novalab import durations, paths, report

# Where bootstrap.sh puts ruff and shellcheck.
TOOLS = Path(os.environ.get("NOVALAB_CHECKS", "/nonexistent")) / "bin"
LOGS = paths.KEPT_LOGS
DENY_WARNINGS = "-D warnings"
# Of a log, where the check failed.
SHOWN_LINES = 60


@dataclass(frozen=True)
class Check:
    """One command that must end with 0."""

    name: str
    command: tuple[str, ...]
    # What a person does about it; empty: the output says it.
    mend: str = ""
    # Whether it compiles nothing, so that a commit can wait for it.
    fast: bool = True
    env: dict[str, str] = field(default_factory=dict)
    # Whether the quick tier runs it anyway, and counts what is in it.
    in_quick: bool = False


def checks() -> list[Check]:
    """All of them, the quickest first."""
    return [
        Check("check: rustfmt", ("cargo", "fmt", "--check"), "cargo fmt"),
        Check("check: ruff", (str(TOOLS / "ruff"), "check", "--no-cache", "--quiet", "integration"),
              f"{TOOLS / 'ruff'} check --fix integration mends some"),
        Check("check: shellcheck", (str(TOOLS / "shellcheck"), "--external-sources", *shell_scripts(paths.REPO))),
        Check("check: Python tests", (paths.PYTHON, "-m", "unittest", "discover", "-s", "integration/novalab/tests", "-t", "integration"),
              in_quick=True),
        Check("check: clippy", ("cargo", "clippy", "--locked", "--quiet", "--all-targets", "--", *DENY_WARNINGS.split()), fast=False),
        # Private items too: most of the crate is private, and its pages are for those who work on it.
        Check("check: rustdoc", ("cargo", "doc", "--locked", "--quiet", "--no-deps", "--document-private-items"), fast=False,
              env={"RUSTDOCFLAGS": DENY_WARNINGS}),
    ]


def shell_scripts(repo: Path) -> list[str]:
    """The shell scripts that git knows of, below a repository, by their names or first lines."""
    # Also where root looks at somebody else's clone.
    listed = subprocess.run(["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=repo, capture_output=True, text=True, check=True)
    return [name for name in sorted(set(listed.stdout.split("\0"))) if name and is_shell(repo / name)]


def is_shell(path: Path) -> bool:
    """Whether a file is for a shell."""
    if not path.is_file() or path.is_symlink():
        return False
    with path.open("rb") as file:
        first = file.readline(200).split()
    interpreter = first[-1] if first and first[0].startswith(b"#!") else b""
    return path.suffix == ".sh" or interpreter.rpartition(b"/")[2] in (b"sh", b"bash", b"dash")


def run(chosen: Iterable[Check], ran: report.Report, known: durations.Durations) -> None:
    """Runs checks one after the other, and tells the report what came of each."""
    for check in chosen:
        started = time.monotonic()
        log = LOGS / f"{re.sub('[^a-z]+', '-', check.name.lower())}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        code, output = output_of(check)
        took = time.monotonic() - started
        if code == 0:
            ran.passed(check.name, took)
            known.record(check.name, took)
            continue
        log.write_text(output, encoding="utf-8")
        print("\n".join(f"    {line}" for line in output.splitlines()[-SHOWN_LINES:]), flush=True)
        why = next((line for line in output.splitlines() if line.strip()), f"exit {code}")
        ran.failed(check.name, took, why, log, check.mend)


def output_of(check: Check) -> tuple[int, str]:
    """What a check ends with and says. One whose program is not there has failed."""
    try:
        done = subprocess.run(check.command, cwd=paths.REPO, env={**os.environ, "CARGO_TERM_COLOR": "never", **check.env},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              errors="replace", check=False)
    except OSError as error:
        return 127, f"{check.command[0]} cannot be run: {error.strerror}"
    return done.returncode, done.stdout
