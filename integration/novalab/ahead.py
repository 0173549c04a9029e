"""What later tiers need, made beside the tier that runs now: its scenarios mostly wait."""

import ctypes
import os
import signal
import subprocess
import sys

from novalab import paths

PR_SET_PDEATHSIG = 1
# Below whatever a scenario times. What only compiles has the time that nobody else wants: see `idle`.
NICENESS = 19


class Ahead:
    """A child that makes the parts of some tiers; whoever needs them waits for its end, and then makes what it could not."""

    def __init__(self, tiers: list[str]) -> None:
        self.child: subprocess.Popen[bytes] | None = None
        if tiers:
            self.child = subprocess.Popen([sys.executable, "-m", "novalab", "_prepare", *tiers], cwd=paths.REPO,
                                          stdin=subprocess.DEVNULL, stdout=sys.stderr, preexec_fn=_below_all)

    def wait(self) -> None:
        """Returns once it has ended, however it did."""
        if self.child is not None:
            self.child.wait()
            self.child = None

    def stop(self) -> None:
        """For whoever ends early."""
        if self.child is not None:
            self.child.terminate()
            self.wait()


def _below_all() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    os.nice(NICENESS)


def idle() -> None:
    """This process, and what it starts from now on, runs only where nobody else wants to."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
