"""The quick tier: what needs no lab. The product's own tests by cargo, and the lab's and the simulated cloud's by unittest."""

import os
import re
import shutil
import subprocess

from novalab import paths


def run():
    """Runs both; returns (passed, failed). A run that cannot be counted counts as one failure if it failed."""
    passed = failed = 0
    for command, env, pattern in _commands():
        print(f"$ {' '.join(command)}", flush=True)
        lines, code = _stream(command, {**os.environ, **env})
        good, bad = _count(lines, pattern)
        if code != 0 and bad == 0:
            bad = 1
        passed, failed = passed + good, failed + bad
    return passed, failed


def _commands():
    if shutil.which("cargo-nextest"):
        yield ["cargo", "nextest", "run", "--no-fail-fast"], {}, r"(\d+) passed.*?(?:(\d+) failed)?"
    else:
        yield ["cargo", "test", "--no-fail-fast"], {}, r"test result: \w+\. (\d+) passed; (\d+) failed"
    for package in ("novalab", "simcloud"):
        if (paths.INTEGRATION / package / "tests").is_dir():
            yield [paths.PYTHON, "-m", "unittest", "discover", "-s", f"integration/{package}/tests", "-t", "integration"], {}, None


def _stream(command, env):
    child = subprocess.Popen(command, cwd=paths.REPO, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             text=True, errors="replace")
    lines = []
    for line in child.stdout:
        print(line, end="", flush=True)
        lines.append(re.sub(r"\x1b\[[0-9;]*m", "", line))
    return lines, child.wait()


def _count(lines, pattern):
    """Adds up what the runner's closing lines say."""
    text = "".join(lines)
    if pattern is None:
        ran = sum(int(n) for n in re.findall(r"^Ran (\d+) tests?", text, re.M))
        bad = sum(int(n) for n in re.findall(r"(?:failures|errors)=(\d+)", text))
        return max(0, ran - bad), bad
    if "Summary [" in text:
        summary = [line for line in lines if "Summary [" in line][-1]
        numbers = dict((word, int(n)) for n, word in re.findall(r"(\d+) (passed|failed|timed out)", summary))
        return numbers.get("passed", 0), numbers.get("failed", 0) + numbers.get("timed out", 0)
    found = re.findall(pattern, text)
    return sum(int(g) for g, _ in found), sum(int(b or 0) for _, b in found)
