"""How long each part of a test run takes: recorded in the repository, and on each machine by what it measured itself."""

import contextlib
import heapq
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from novalab import paths

RECORDED = paths.INTEGRATION / "durations.json"
MEASURED = Path(os.environ.get("NOVALAB_CACHE", "/nonexistent")) / "durations.json"
# Of a part that nobody has measured.
UNKNOWN = 60.0


class Durations:
    """Seconds by the name of a part."""

    def __init__(self, recorded: Path = RECORDED, measured: Path = MEASURED) -> None:
        self.measured = measured
        # What this machine measured says more of it.
        self.seconds = {**_read(recorded), **_read(measured)}

    def of(self, name: str) -> float:
        """What a part takes."""
        return self.seconds.get(name, UNKNOWN)

    def all_of(self, names: Iterable[str], jobs: int) -> float:
        """What parts take that are begun in this order, so many at a time."""
        ends = [0.0] * jobs
        for name in names:
            heapq.heapreplace(ends, ends[0] + self.of(name))
        return max(ends)

    def record(self, name: str, seconds: float) -> None:
        """Keeps what was measured. A machine that cannot keep it estimates by the repository's."""
        self.seconds[name] = seconds
        kept = {**_read(self.measured), name: round(seconds, 1)}
        with contextlib.suppress(OSError), tempfile.NamedTemporaryFile(
                "w", dir=self.measured.parent, prefix="durations.", delete=False, encoding="utf-8") as file:
            json.dump(kept, file, indent=1, sort_keys=True)
            os.replace(file.name, self.measured)


def _read(path: Path) -> dict[str, float]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
