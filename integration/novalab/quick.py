"""The quick tier: what needs no lab. The product's own tests by cargo, and the lab's and the simulated cloud's by unittest."""

import os
import re
import shutil
import subprocess

from novalab import paths


def run():
    """Runs them; returns (passed, failed). A command that failed without a failed test counts as one failure."""
    passed = failed = 0
    for command in _commands():
        print(f"$ {' '.join(command)}", flush=True)
        lines, code = _stream(command)
        good, bad = count(lines)
        if code != 0 and bad == 0:
            print(f"exit {code} of {command[0]} without a failed test", flush=True)
            bad = 1
        passed, failed = passed + good, failed + bad
    return passed, failed


def _commands():
    if shutil.which("cargo-nextest"):
        yield ["cargo", "nextest", "run", "--no-fail-fast", "--hide-progress-bar"]
    else:
        yield ["cargo", "test", "--no-fail-fast"]
    for package in ("novalab", "simcloud"):
        if (paths.INTEGRATION / package / "tests").is_dir():
            yield [paths.PYTHON, "-m", "unittest", "discover", "-s", f"integration/{package}/tests", "-t", "integration"]


def _stream(command):
    env = {**os.environ, "CARGO_TERM_COLOR": "never"}
    child = subprocess.Popen(command, cwd=paths.REPO, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace")
    lines = []
    for line in child.stdout:
        print(line, end="", flush=True)
        lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
    return lines, child.wait()


def count(lines):
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
