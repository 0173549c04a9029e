"""What the lab installs from PyPI: each in one version, and only with the content that its maintainers uploaded then."""

import re

from novalab import paths

# What `pip install --require-hashes` is given, all of it.
FILES = [paths.INTEGRATION / name for name in
         ("sushy-tools/requirements.txt", "checks/requirements.txt", "openstack/constraints.txt", "openstack/build.txt")]


def pinned(text: str) -> dict[str, tuple[str, list[str]]]:
    """{name: (version, hashes)} of a requirements file; raises ValueError where a line is anything but `name==version` with hashes."""
    found = {}
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!_-]+)((?: --hash=sha256:[0-9a-f]{64})+)", line)
        if match is None:
            raise ValueError(f"no version with hashes: {line[:100]}")
        name = re.sub(r"[-_.]+", "-", match[1]).lower()
        if name in found:
            raise ValueError(f"twice: {name}")
        found[name] = match[2], match[3].split()
    return found
