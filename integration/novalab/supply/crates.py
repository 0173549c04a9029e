"""Cargo's own words about the crates, and what deny.toml says of them. Without cargo-deny, which takes longer to build than the tests
to run; it reads the same file, and where it is installed it is run too."""

import collections
import json
import re
import subprocess
import tomllib

from novalab import paths

# What we build for. The lock has the crates of every platform; their licences are only known of those that are fetched.
TARGET = "x86_64-unknown-linux-gnu"


def read():
    """(deny.toml, the lock's packages, cargo's metadata)."""
    with open(paths.REPO / "deny.toml", "rb") as file:
        config = tomllib.load(file)
    with open(paths.REPO / "Cargo.lock", "rb") as file:
        lock = tomllib.load(file)["package"]
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGET]
    said = subprocess.run(command, cwd=paths.REPO, stdout=subprocess.PIPE, check=True, timeout=300)
    return config, lock, json.loads(said.stdout)


def licences(config, metadata):
    """Crates whose licence is not one that is allowed."""
    allowed = set(config["licenses"]["allow"])
    return [f"{called(package)}: licence {package['license']!r} is not allowed by deny.toml"
            for package in metadata["packages"] if not is_allowed(package["license"], allowed)]


def is_allowed(expression, allowed):
    """Whether an SPDX expression can be met with these licences. `/` is the old way to write OR."""
    if not expression:
        return False
    words = re.findall(r"\(|\)|[^\s()/]+|/", expression)
    position = 0

    def take():
        nonlocal position
        word = words[position] if position < len(words) else None
        position += 1
        return word

    def peek():
        return words[position] if position < len(words) else None

    def any_of():
        met = all_of()
        while peek() in ("OR", "/"):
            take()
            met = all_of() or met
        return met

    def all_of():
        met = one()
        while peek() == "AND":
            take()
            met = one() and met
        return met

    def one():
        word = take()
        if word == "(":
            met = any_of()
            if take() != ")":
                raise ValueError(expression)
            return met
        if word in (None, ")", "OR", "AND", "WITH", "/"):
            raise ValueError(expression)
        if peek() == "WITH":
            take()
            word = f"{word} WITH {take()}"
        return word in allowed

    try:
        met = any_of()
    except ValueError:
        return False
    return met and position == len(words)


def sources(config, lock, metadata):
    """Crates that come from elsewhere than the registries that are allowed, or whose content the lock does not fix."""
    registries = {f"registry+{url}" for url in config["sources"]["allow-registry"]}
    own = {package["name"] for package in metadata["packages"] if package["source"] is None}
    faults = [f"{called(package)}: is neither our own nor from a registry" for package in metadata["packages"]
              if package["source"] is None and package["id"] not in metadata["workspace_members"]]
    for package in lock:
        if "source" not in package and package["name"] in own:
            continue
        if package.get("source") not in registries:
            faults.append(f"{called(package)}: comes from {package.get('source')}, which deny.toml does not allow")
        elif not re.fullmatch("[0-9a-f]{64}", package.get("checksum", "")):
            faults.append(f"{called(package)}: the lock has no checksum of it")
    return faults


def bans(config, lock, metadata):
    """Crates that are not to be there, second versions, and words of deny.toml that say nothing any more."""
    rules = config["bans"]
    denied = {rule["crate"]: rule["reason"] for rule in rules["deny"]}
    faults = [f"{called(package)}: banned by deny.toml: {denied[package['name']]}" for package in lock
              if package["name"] in denied]
    versions = collections.defaultdict(list)
    for package in metadata["packages"]:
        versions[package["name"]].append(package["version"])
    skipped = {rule["crate"]: False for rule in rules["skip"]}
    for name, found in sorted(versions.items()):
        left = []
        for version in found:
            rule = next((rule for rule in skipped if is_of(rule, name, version)), None)
            if rule is None:
                left.append(version)
            elif len(found) > 1:
                skipped[rule] = True
        if len(left) > 1:
            faults.append(f"{name}: in {len(left)} versions ({', '.join(sorted(left))}); update one, or say why under skip")
    faults += [f"deny.toml: skip {rule}: there is no second version of it any more" for rule, used in skipped.items() if not used]
    for package in metadata["packages"]:
        if package["id"] in metadata["workspace_members"]:
            faults += [f"{called(package)}: depends on any version of {dependency['name']}"
                       for dependency in package["dependencies"] if dependency["req"] == "*"]
    return faults


def is_of(rule, name, version):
    """Whether `name@0.2` means this crate in this version."""
    crate, _, wanted = rule.partition("@")
    return crate == name and (not wanted or version == wanted or version.startswith(f"{wanted}."))


def called(package):
    return f"{package['name']} {package['version']}"
