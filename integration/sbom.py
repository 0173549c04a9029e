#!/usr/bin/env python3
"""Writes the product's list of parts (SBOM, CycloneDX 1.5) from Cargo.lock: docs/sbom.cdx.json. `integration/lab test quick` fails where
that file and the lock are not in step."""

from novalab.supply import crates, sbom

if __name__ == "__main__":
    _, LOCK, METADATA = crates.read()
    sbom.FILE.write_text(sbom.text(sbom.sbom(LOCK, METADATA)), encoding="utf-8")
    print(sbom.FILE)
