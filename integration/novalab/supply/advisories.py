"""The RustSec advisory database (https://github.com/rustsec/advisory-db) against the lock, from a copy of it that somebody fetched."""

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PLACE = "NOVA_HA_ADVISORY_DB"


def database() -> Path | None:
    """The folder of a clone, or None: of $NOVA_HA_ADVISORY_DB, or where cargo-deny and cargo-audit keep theirs."""
    if PLACE in os.environ:
        return Path(os.environ[PLACE])
    home = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    found = [home / "advisory-db", *sorted((home / "advisory-dbs").glob("*"))]
    return next((place for place in found if (place / "crates").is_dir()), None)


def faults(lock: list[dict[str, Any]], folder: Path, ignored: Iterable[str] = ()) -> tuple[int, list[str]]:
    """Advisories that hit what is in the lock. (Advisories read, faults.)"""
    files = 0
    hits = []
    for package in lock:
        for path in sorted((folder / "crates" / package["name"]).glob("RUSTSEC-*.md")):
            files += 1
            advisory = parse(path.read_text(encoding="utf-8"))
            about = advisory["advisory"]
            if "withdrawn" in about or about["id"] in ignored or not is_hit(package["version"], advisory.get("versions", {})):
                continue
            kind = about.get("informational", "vulnerability")
            hits.append(f"{package['name']} {package['version']}: {about['id']} ({kind})")
    return files, hits


def parse(text: str) -> dict[str, Any]:
    """The front matter of an advisory: TOML in a fence."""
    return tomllib.loads(re.search(r"^```toml\n(.*?)^```", text, re.M | re.S)[1])


def is_hit(version: str, versions: dict[str, list[str]]) -> bool:
    """Hit is what is neither patched nor was ever affected."""
    fine = [*versions.get("patched", []), *versions.get("unaffected", [])]
    return not any(meets(version, requirement) for requirement in fine)


def meets(version: str, requirement: str) -> bool:
    """Whether a version meets a requirement of Cargo's kind: comparators with commas between them."""
    return all(_meets(version, comparator.strip()) for comparator in requirement.split(","))


def _meets(version: str, comparator: str) -> bool:
    operator, wanted = re.fullmatch(r"(>=|<=|>|<|=|\^|~)?\s*([0-9].*)", comparator).groups()
    parts = [int(part) for part in re.split(r"[-+]", wanted)[0].split(".")]
    have, low = key(version), key(wanted)
    if operator in (None, "^", "~"):
        # Up to, and without, the next version that may differ.
        last = next((i for i, part in enumerate(parts) if part), len(parts) - 1) if operator != "~" else min(1, len(parts) - 1)
        next_one = [*parts[:last], parts[last] + 1]
        return low <= have < key(".".join(map(str, next_one)))
    return {">=": have >= low, "<=": have <= low, ">": have > low, "<": have < low, "=": have == low}[operator]


def key(version: str) -> tuple[Any, ...]:
    """By which versions are compared: a version comes after its own pre-releases."""
    plain, _, early = version.split("+", maxsplit=1)[0].partition("-")
    numbers = [int(part) for part in plain.split(".")]
    numbers += [0] * (3 - len(numbers))
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in early.split(".")) if early else ()
    return (*numbers, not early, parts)
