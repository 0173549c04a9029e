"""Runs scenarios: each in a process of its own with a lab of its own, a time limit, and its logs kept where it failed."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from novalab import paths, scenario
from novalab.cluster import Lab

PR_SET_PDEATHSIG = 1


def run_one(found):
    """Runs one scenario; returns (passed, seconds, what went wrong, folder of the kept logs)."""
    started = time.monotonic()
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
        if child.returncode != 0:
            kept = lab.keep_logs(found.name)
            (kept / "output.txt").write_text(output, encoding="utf-8")
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        lab.down()
    return child.returncode == 0, time.monotonic() - started, output.strip(), kept


def run_all(scenarios, jobs=1):
    """Runs them and tells each one's end; returns (passed, failed)."""
    passed = failed = 0

    def tell(found):
        try:
            return found, *run_one(found)
        except Exception as error:  # The lab itself could not be made or taken down: a failure of this scenario.
            return found, False, 0.0, f"the lab failed: {error!r}", None

    with ThreadPoolExecutor(jobs) as pool:
        for found, good, took, output, kept in pool.map(tell, scenarios):
            passed, failed = passed + good, failed + (not good)
            print(f"{'PASS' if good else 'FAIL'} {found.name} ({took:.1f} s): {found.proves}", flush=True)
            if not good:
                print("\n".join(f"    {line}" for line in output.splitlines()[-60:]), flush=True)
                if kept:
                    print(f"    logs: {os.path.relpath(kept, paths.REPO)}", flush=True)
    return passed, failed


def play(name, run):
    """The child's side of run_one. It dies with its runner, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    found = next(s for s in scenario.discover() if s.name == name)
    wrong = scenario.play(found, Lab.attach(run))
    for sentence in wrong:
        print(sentence, flush=True)
    return 1 if wrong else 0
