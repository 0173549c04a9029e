"""The list of parts (SBOM) of the product, in CycloneDX 1.5, made from Cargo.lock and cargo's metadata. The same lock makes the
same bytes: it has no time and no serial number."""

import json
import re
from pathlib import Path

from novalab import paths

FILE = paths.REPO / "docs" / "sbom.cdx.json"

# In what a crate ends up, the nearest first.
USES = ("executables", "build", "tests")


def sbom(lock, metadata):
    """The whole document."""
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock}
    packages = {package["id"]: package for package in metadata["packages"]}
    uses = used_by(metadata)
    root = packages[metadata["workspace_members"][0]]
    parts = [component(packages[id], checksums, uses[id]) for id in packages if id != root["id"]]
    edges = [{"ref": purl(packages[node["id"]]), "dependsOn": sorted(purl(packages[dep]) for dep in node["dependencies"])}
             for node in metadata["resolve"]["nodes"]]
    for package in packages.values():
        if package["name"] == "libssh2-sys":
            bundled = libssh2(package)
            parts.append(bundled)
            edges.append({"ref": bundled["bom-ref"], "dependsOn": []})
            next(edge for edge in edges if edge["ref"] == purl(package))["dependsOn"].append(bundled["bom-ref"])
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**named(root), "type": "application"}},
        "components": sorted(parts, key=lambda part: part["bom-ref"]),
        "dependencies": sorted(edges, key=lambda edge: edge["ref"]),
    }


def component(package, checksums, use):
    """One crate."""
    return {
        **named(package),
        "type": "library",
        # What is not required is not part of what is installed.
        "scope": "required" if use == USES[0] else "excluded",
        "hashes": [{"alg": "SHA-256", "content": checksums[package["name"], package["version"]]}],
        "properties": [{"name": "nova-ha:used-by", "value": use}],
    }


def named(package):
    return {"bom-ref": purl(package), "name": package["name"], "version": package["version"], "purl": purl(package),
            "licenses": [{"expression": " OR ".join(re.split(r"\s*/\s*", package["license"]))}]}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def libssh2(package):
    """The C library whose sources libssh2-sys carries and builds: a crate's version does not say which."""
    header = Path(package["manifest_path"]).parent / "libssh2" / "include" / "libssh2.h"
    version = re.search(r'#define LIBSSH2_VERSION\s+"([^"]+)"', header.read_text(encoding="utf-8"))[1]
    reference = f"pkg:generic/libssh2@{version}"
    return {"bom-ref": reference, "name": "libssh2", "version": version, "purl": reference, "type": "library", "scope": "required",
            "licenses": [{"expression": "BSD-3-Clause"}],
            "properties": [{"name": "nova-ha:used-by", "value": USES[0]}, {"name": "nova-ha:sources-in", "value": purl(package)}]}


def used_by(metadata):
    """In which of USES each crate ends up."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    macros = {package["id"] for package in metadata["packages"]
              if any("proc-macro" in target["kind"] for target in package["targets"])}
    uses = {}

    def visit(id, use):
        if id in uses and USES.index(uses[id]) <= USES.index(use):
            return
        uses[id] = use
        for dependency in nodes[id]["deps"]:
            for kind in dependency["dep_kinds"]:
                if kind["kind"] == "dev":
                    # Of a crate that is not ours, cargo does not list what its own tests need.
                    visit(dependency["pkg"], USES[2])
                elif use == USES[0] and (kind["kind"] == "build" or dependency["pkg"] in macros):
                    visit(dependency["pkg"], USES[1])
                else:
                    visit(dependency["pkg"], use)

    visit(metadata["workspace_members"][0], USES[0])
    return uses


def text(document):
    """One part a line, so that a change of the lock is a change of its lines."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list):
            inner = ",\n".join(f"  {json.dumps(item)}" for item in value)
            lines.append(f"{json.dumps(key)}: [\n{inner}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"
