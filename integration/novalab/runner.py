"""Runs scenarios: each in a process of its own with a lab of its own, a time limit, and its logs kept where it failed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from novalab import cluster, durations, events, report, scenario
from novalab.cluster import Lab

PR_SET_PDEATHSIG = 1
# What the child ends with where the lab did not come up, so that nothing of the scenario was run: sysexits.h's "try again".
NOT_UP = 75
# How often a lab is brought up for one scenario. What fails three times is no busy machine.
BRING_UPS = 3
SHOWN_LINES = 60


@dataclass(frozen=True)
class Ended:
    """How a scenario ended."""

    passed: bool
    seconds: float
    # What it said, the last lines why it failed.
    output: str
    # The folder of the kept logs, of one that failed.
    logs: Path | None
    # What its lab did again while it was brought up.
    again: tuple[str, ...] = ()


def run_one(found: scenario.Scenario) -> Ended:
    """Runs one scenario, once. A lab that does not come up (before anything of the product is in it) is brought up again, and said."""
    started = time.monotonic()
    again: tuple[str, ...] = ()
    for attempt in range(1, BRING_UPS + 1):
        code, output, logs, notes = _run_in_a_lab(found, last=attempt == BRING_UPS)
        again += notes
        if code != NOT_UP or attempt == BRING_UPS:
            break
        why = next(iter(reversed(output.splitlines())), "it does not come up")
        again += (f"the lab was brought up again, as it did not come up (load {os.getloadavg()[0]:.1f}): {why}",)
    return Ended(code == 0, time.monotonic() - started, output.strip(), logs, again)


def _run_in_a_lab(found: scenario.Scenario, last: bool) -> tuple[int, str, Path | None, tuple[str, ...]]:
    lab = scenario.create(found, os.getpid())
    command = [sys.executable, "-m", "novalab", "_play", found.name, lab.run_name]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                             start_new_session=True)
    kept = None
    try:
        try:
            output, _ = child.communicate(timeout=found.time_limit)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            output, _ = child.communicate()
            output += f"\nnot done within its time limit of {found.time_limit:g} s"
        if child.returncode != 0 and (last or child.returncode != NOT_UP):
            kept = lab.keep_logs(found.name)
            (kept / "output.txt").write_text(output, encoding="utf-8")
        notes = tuple(event["what"] for event in events.read(lab.state, cluster.AGAIN))
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        lab.down()
    return child.returncode, output, kept, notes


def run_all(scenarios: list[scenario.Scenario], ran: report.Report, known: durations.Durations, jobs: int = 1) -> None:
    """Runs them, so many at a time, and tells the report each one's end as it comes."""
    def tell(found: scenario.Scenario) -> tuple[scenario.Scenario, Ended]:
        try:
            return found, run_one(found)
        except Exception as error:  # The lab itself could not be made or taken down: a failure of this scenario.
            return found, Ended(False, 0.0, f"the lab failed: {error!r}", None)

    with ThreadPoolExecutor(jobs) as pool:
        for done in as_completed([pool.submit(tell, found) for found in scenarios]):
            found, ended = done.result()
            if ended.passed:
                ran.passed(found.name, ended.seconds, found.proves)
                # One that was brought up more than once says nothing of the next time.
                if not ended.again:
                    known.record(found.name, ended.seconds)
            else:
                print("\n".join(f"    {line}" for line in ended.output.splitlines()[-SHOWN_LINES:]), flush=True)
                ran.failed(found.name, ended.seconds, why(ended.output), ended.logs, f"integration/lab run {found.name}")
            for sentence in ended.again:
                print(f"    {found.name}: {sentence}", flush=True)


def why(output: str) -> str:
    """The line of an output that says it best: of a traceback the last one."""
    return next((line.strip() for line in reversed(output.splitlines()) if line.strip()), "it said nothing")


def play(name: str, run: str) -> int:
    """The child's side of run_one; returns the exit code. It dies with its runner, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    found = next(s for s in scenario.discover() if s.name == name)
    try:
        wrong = scenario.play(found, Lab.attach(run))
    except cluster.NotUp as error:
        print(error, flush=True)
        return NOT_UP
    for sentence in wrong:
        print(sentence, flush=True)
    return 1 if wrong else 0
