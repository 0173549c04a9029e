"""What a run of tests did: a line for each part as it ends, and at the end first what went wrong, and where its logs are."""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from novalab import paths

# So that a line of the summary stays one.
SENTENCE = 200


@dataclass(frozen=True)
class Failure:
    """One thing that went wrong."""

    name: str
    why: str
    log: Path | None
    # What a person does next.
    next_step: str


class Report:
    """Counts, tells, and remembers what failed. Several threads may tell it."""

    def __init__(self, parts: int = 0, expected: float = 0) -> None:
        self.good = self.bad = 0
        self.failures: list[Failure] = []
        self.parts, self.done = parts, 0
        self.expected = expected
        self.started = time.monotonic()
        self.lock = threading.RLock()

    def passed(self, name: str, seconds: float, proves: str = "") -> None:
        """Something passed."""
        with self.lock:
            self.good += 1
            self._tell("PASS", name, seconds, proves)

    def failed(self, name: str, seconds: float, why: str, log: Path | None = None, next_step: str = "") -> None:
        """Something failed."""
        with self.lock:
            self.bad += 1
            self.failures.append(Failure(name, why.strip()[:SENTENCE], log, next_step))
            self._tell("FAIL", name, seconds, why.strip()[:SENTENCE])

    def ended(self, name: str, seconds: float, good: int, bad: int) -> None:
        """Another runner ended, which told of its tests itself."""
        with self.lock:
            self.counted(good, bad)
            self._tell("FAIL" if bad else "PASS", name, seconds, f"{good} passed, {bad} failed")

    def counted(self, good: int, bad: int) -> None:
        """Adds what other runners counted."""
        with self.lock:
            self.good, self.bad = self.good + good, self.bad + bad

    def blame(self, name: str, why: str, log: Path | None = None, next_step: str = "") -> None:
        """Names something among what went wrong that is counted already."""
        with self.lock:
            self.failures.append(Failure(name, why.strip()[:SENTENCE], log, next_step))

    def _tell(self, word: str, name: str, seconds: float, sentence: str) -> None:
        self.done += 1
        print(f"{word} {name} ({seconds:.1f} s{self._progress()})" + (f": {sentence}" if sentence else ""), flush=True)

    def _progress(self) -> str:
        if not self.parts:
            return ""
        left = max(0.0, self.expected - (time.monotonic() - self.started))
        return f"; {self.done} of {self.parts}, {failures(self.bad)}" + (f", about {minutes(left)} left" if self.expected else "")

    def summary(self) -> int:
        """Says what went wrong, then what was counted, last; returns the exit code."""
        with self.lock:
            if self.failures:
                print("\nWhat went wrong:", flush=True)
            for failure in self.failures:
                print(f"  {failure.name}: {failure.why}", flush=True)
                if failure.next_step:
                    print(f"      next: {failure.next_step}", flush=True)
            logs = list(dict.fromkeys(failure.log for failure in self.failures if failure.log))
            if logs:
                print("\nLogs:", flush=True)
            for log in logs:
                print(f"  {os.path.relpath(log, paths.REPO)}", flush=True)
            print(f"{self.good} passed, {self.bad} failed", flush=True)
            return 1 if self.bad else 0


def minutes(seconds: float) -> str:
    """A span for people."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def failures(count: int) -> str:
    """So many of them."""
    return "none failed" if count == 0 else f"{count} failed"
