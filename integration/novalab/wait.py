"""Bounded polling: the lab waits for stated conditions and never sleeps and hopes."""

import time
from collections.abc import Callable
from typing import TypeVar

# For how long whoever watched is asked for a last look.
LAST_LOOK_SECONDS = 30

T = TypeVar("T")


class Timeout(AssertionError):
    """A condition did not come true in time. An assertion: in a scenario it is a failed expectation."""


def until(what: str, condition: Callable[[], T], timeout: float, interval: float = 0.1) -> T:
    """Polls `condition` until it returns something true, and returns that.

    An exception of the condition counts as *not yet* and is told in the Timeout. `timeout` and `interval` in seconds.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except (OSError, ValueError, KeyError, LookupError, AssertionError) as error:
            last = f"{type(error).__name__}: {error}"
        if time.monotonic() >= deadline:
            raise Timeout(f"not within {timeout:g} s: {what} (last seen: {last!r})")
        time.sleep(interval)


def never(what: str, condition: Callable[[], object], seconds: float, interval: float = 0.2) -> None:
    """Watches for `seconds` that `condition` stays false.

    A look without an answer (OSError) shows nothing and is not the end; the last one, after `seconds`, needs an answer.
    """
    deadline = time.monotonic() + seconds
    while True:
        started = time.monotonic()
        try:
            seen = condition()
        except OSError:
            if started >= deadline + LAST_LOOK_SECONDS:
                raise
        else:
            if seen:
                raise AssertionError(f"happened although it must not: {what} ({seen!r})")
            if started >= deadline:
                return
        time.sleep(interval)
