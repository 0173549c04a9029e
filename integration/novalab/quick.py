"""The quick tier: what needs no lab. The checks, the product's own tests by cargo, and the lab's and the simulated cloud's by unittest."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from novalab import durations, paths, report

LOGS = paths.KEPT_LOGS
PACKAGES = ("novalab", "simcloud")
# What nextest, cargo test and unittest say of a test that failed.
FAILED = re.compile(r"^(?:\s*(?:FAIL|TIMEOUT|ABORT|SIG[A-Z]+) \[[^\]]*\] (?:\([^)]*\) )?(?P<nextest>.+)"
                    r"|test (?P<cargo>\S+) \.\.\. FAILED|(?:FAIL|ERROR): (?P<unittest>.+))$")


@dataclass(frozen=True)
class Command:
    """One runner of tests."""

    name: str
    argv: tuple[str, ...]
    # Whether each shard runs a part of it.
    divided: bool = False


def commands(shard: int = 1, of: int = 1) -> list[Command]:
    """The runners of one shard's part."""
    found = []
    if has_nextest():
        part = ("--partition", f"hash:{shard}/{of}") if of > 1 else ()
        found.append(Command("quick: the product's tests", ("cargo", "nextest", "run", "--no-fail-fast", "--hide-progress-bar", *part), True))
    elif shard == 1:
        found.append(Command("quick: the product's tests", ("cargo", "test", "--no-fail-fast")))
    if shard == 1:
        found += [Command(f"quick: {package}'s tests", (paths.PYTHON, "-m", "unittest", "discover", "-s", f"integration/{package}/tests",
                                                       "-t", "integration")) for package in PACKAGES]
    return found


def has_nextest() -> bool:
    """Whether cargo-nextest is installed: it runs the tests of several files at a time."""
    return shutil.which("cargo-nextest") is not None


def build() -> int:
    """Compiles the tests; returns the exit code of cargo. Who runs them says what did not compile."""
    words = ("nextest", "run", "--cargo-quiet") if has_nextest() else ("test", "--quiet")
    return subprocess.run(["cargo", *words, "--no-run"], cwd=paths.REPO, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, check=False).returncode


def is_built() -> bool:
    """Whether tests were compiled before, here: then what is compiled now is what has changed."""
    return any((paths.BIN_DIR / "deps").glob("recovery_world-*"))


def run(chosen: list[Command], ran: report.Report, known: durations.Durations) -> None:
    """Runs them, each with its output shown and kept. A command that fails without a failed test counts as one failure."""
    for command in chosen:
        print(f"$ {' '.join(command.argv)}", flush=True)
        started = time.monotonic()
        log = LOGS / f"{re.sub('[^a-z]+', '-', command.name)}.log"
        lines, code = _stream(command.argv, log)
        took = time.monotonic() - started
        good, bad = count(lines)
        if code != 0 and bad == 0:
            ran.counted(good, 0)
            ran.failed(command.name, took, f"exit {code} without a failed test", log, " ".join(command.argv))
            continue
        ran.ended(command.name, took, good, bad)
        for name in failed(lines):
            ran.blame(name, "the test failed: its output is in the log", log)
        if bad == 0:
            known.record(command.name, took)


def failed(lines: list[str]) -> list[str]:
    """The names of the tests that failed, each once."""
    found = [FAILED.match(line.rstrip("\n")) for line in lines]
    return list(dict.fromkeys(next(filter(None, match.groups())) for match in found if match))


def _stream(argv: tuple[str, ...], log: Path) -> tuple[list[str], int]:
    env = {**os.environ, "CARGO_TERM_COLOR": "never"}
    log.parent.mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(argv, cwd=paths.REPO, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace")
    lines = []
    with log.open("w", encoding="utf-8") as kept:
        for line in child.stdout:
            print(line, end="", flush=True)
            kept.write(line)
            lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
    return lines, child.wait()


def count(lines: list[str]) -> tuple[int, int]:
    """(passed, failed) by the closing lines of nextest, cargo test or unittest."""
    text = "".join(lines)
    summaries = [line for line in lines if "Summary [" in line]
    if summaries:
        numbers = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|timed out)", summaries[-1])}
        return numbers.get("passed", 0), numbers.get("failed", 0) + numbers.get("timed out", 0)
    results = re.findall(r"test result: \w+\. (\d+) passed; (\d+) failed", text)
    ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", text, re.M))
    wrong = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", text))
    return (sum(int(good) for good, _ in results) + max(0, ran - wrong), sum(int(bad) for _, bad in results) + wrong)
