"""What is built into the product and what the lab installs; the checks themselves, and the repository by them."""

import copy
import functools
import json
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from novalab import paths
from novalab.supply import advisories, crates, sbom, wheels

OURS = {"id": "ours", "name": "nova-ha", "version": "0.1.0", "source": None, "license": "Apache-2.0", "dependencies": []}
REGISTRY = "https://github.com/rust-lang/crates.io-index"
CONFIG = {
    "licenses": {"allow": ["MIT", "Apache-2.0"]},
    "sources": {"allow-registry": [REGISTRY]},
    "bans": {"deny": [{"crate": "native-tls", "reason": "one TLS"}], "skip": []},
}


def crate(name, version="1.0.0", **more):
    return {"id": f"{name}@{version}", "name": name, "version": version, "source": f"registry+{REGISTRY}", "license": "MIT",
            "checksum": "0" * 64, "dependencies": [], **more}


def world(*found):
    return {"packages": [OURS, *found], "workspace_members": ["ours"]}


class Licences(unittest.TestCase):
    def test_an_expression_is_met_by_what_is_allowed_and_nothing_else(self):
        allowed = {"MIT", "Apache-2.0", "BSD-3-Clause", "Apache-2.0 WITH LLVM-exception"}
        for expression in ("MIT", "GPL-3.0-only OR MIT", "MIT OR GPL-3.0-only", "MIT/GPL-3.0-only", "(MIT OR GPL-2.0) AND BSD-3-Clause",
                           "Apache-2.0 WITH LLVM-exception", "GPL-2.0 AND ISC OR MIT", "Apache-2.0 / MIT"):
            self.assertTrue(crates.is_allowed(expression, allowed), expression)
        for expression in (None, "", "GPL-3.0-only", "MIT AND GPL-3.0-only", "GPL-3.0-only AND MIT", "(MIT OR ISC) AND ISC",
                           "MIT OR GPL-2.0 AND", "(MIT", "MIT)", "MIT MIT", "OR", "MIT WITH x", "GPL-2.0 WITH LLVM-exception"):
            self.assertFalse(crates.is_allowed(expression, allowed), expression)

    def test_a_crate_of_another_licence_is_named(self):
        self.assertEqual(crates.licences(CONFIG, world(crate("a"))), [])
        found = crates.licences(CONFIG, world(crate("a", license="AGPL-3.0-only"), crate("b", license=None)))
        self.assertEqual([line.split(":")[0] for line in found], ["a 1.0.0", "b 1.0.0"])


class Sources(unittest.TestCase):
    def test_a_crate_from_elsewhere_or_without_a_checksum_is_named(self):
        lock = [{"name": "nova-ha", "version": "0.1.0"}, crate("a")]
        self.assertEqual(crates.sources(CONFIG, lock, world(crate("a"))), [])
        for bad in (crate("a", source="git+https://example.org/a#1"), crate("a", source="registry+https://example.org/index"),
                    crate("a", checksum=""), {"name": "a", "version": "1.0.0"}):
            self.assertEqual(len(crates.sources(CONFIG, [lock[0], bad], world(crate("a")))), 1, bad)
        beside = crate("b", source=None)
        self.assertEqual(len(crates.sources(CONFIG, lock, world(crate("a"), beside))), 1)


class Bans(unittest.TestCase):
    def test_a_banned_crate_a_second_version_and_any_version_are_named(self):
        two = world(crate("a", "0.2.1"), crate("a", "0.4.0"))
        for lock, metadata, expected in (
            ([], world(crate("a")), []),
            ([crate("native-tls")], world(), ["native-tls 1.0.0: banned by deny.toml: one TLS"]),
            ([], two, ["a: in 2 versions (0.2.1, 0.4.0); update one, or say why under skip"]),
            ([], {**world(), "packages": [{**OURS, "dependencies": [{"name": "a", "req": "*"}]}]},
             ["nova-ha 0.1.0: depends on any version of a"]),
        ):
            self.assertEqual(crates.bans(CONFIG, lock, metadata), expected)
        skipping = copy.deepcopy(CONFIG)
        skipping["bans"]["skip"] = [{"crate": "a@0.2", "reason": "r"}]
        self.assertEqual(crates.bans(skipping, [], two), [])
        three = world(crate("a", "0.2.1"), crate("a", "0.20.0"), crate("a", "0.4.0"))
        self.assertEqual(len(crates.bans(skipping, [], three)), 1)
        self.assertIn("there is no second version of it any more", crates.bans(skipping, [], world(crate("a", "0.2.1")))[0])


class Advisories(unittest.TestCase):
    def test_a_version_meets_a_requirement_as_cargo_has_it(self):
        for requirement, good, bad in (
            (">= 1.2.3", ("1.2.3", "1.10.0", "2.0.0"), ("1.2.2", "1.2.3-rc.1", "0.9.9")),
            ("< 1.2", ("1.1.9", "1.2.0-rc.1", "0.1.0"), ("1.2.0", "1.2.1")),
            (">= 0.22.4, < 0.23.0", ("0.22.4", "0.22.9"), ("0.22.3", "0.23.0")),
            ("^0.3.26", ("0.3.26", "0.3.99"), ("0.3.25", "0.4.0")),
            ("^1.2", ("1.2.0", "1.9.0"), ("1.1.9", "2.0.0")),
            ("^0.0.3", ("0.0.3",), ("0.0.4",)),
            ("1.2.3", ("1.2.3", "1.3.0"), ("2.0.0",)),
            ("~1.2.3", ("1.2.3", "1.2.9"), ("1.3.0",)),
            ("=1.2.3", ("1.2.3",), ("1.2.4",)),
            (">=0.104.0-alpha.6", ("0.104.0-alpha.6", "0.104.0-alpha.10", "0.104.0"), ("0.104.0-alpha.5", "0.103.9")),
        ):
            for version in good:
                self.assertTrue(advisories.meets(version, requirement), (version, requirement))
            for version in bad:
                self.assertFalse(advisories.meets(version, requirement), (version, requirement))

    def test_an_advisory_hits_what_is_neither_patched_nor_unaffected_nor_withdrawn(self):
        def hits(front, version="1.0.0", ignored=()):
            with tempfile.TemporaryDirectory() as folder:
                place = Path(folder, "crates", "a")
                place.mkdir(parents=True)
                Path(place, "RUSTSEC-2026-0001.md").write_text(f'```toml\n[advisory]\nid = "RUSTSEC-2026-0001"\n{front}\n```\n\n# A\n')
                files, found = advisories.faults([{"name": "a", "version": version}], Path(folder), ignored)
                self.assertEqual(files, 1)
                return found
        fixed = '[versions]\npatched = [">= 1.0.1"]\nunaffected = ["< 0.9"]'
        self.assertEqual(hits(fixed), ["a 1.0.0: RUSTSEC-2026-0001 (vulnerability)"])
        self.assertEqual(hits('informational = "unmaintained"\n[versions]\npatched = []'), ["a 1.0.0: RUSTSEC-2026-0001 (unmaintained)"])
        self.assertEqual(hits(fixed, "1.0.1"), [])
        self.assertEqual(hits(fixed, "0.8.0"), [])
        self.assertEqual(hits(f'withdrawn = "2026-01-01"\n{fixed}'), [])
        self.assertEqual(hits(fixed, ignored=["RUSTSEC-2026-0001"]), [])


class Wheels(unittest.TestCase):
    def test_only_one_version_with_hashes_is_taken(self):
        hashed = f"a==1 \\\n    --hash=sha256:{'0' * 64} \\\n    --hash=sha256:{'1' * 64}\n"
        self.assertEqual(wheels.pinned(f"# of a\n{hashed}"), {"a": ("1", [f"--hash=sha256:{c * 64}" for c in "01"])})
        for bad in ("a==1\n", "a\n", f"a>=1 --hash=sha256:{'0' * 64}\n", "-r other.txt\n", "--index-url https://example.org\n",
                    "a==1 --hash=md5:00\n", hashed + hashed.replace("a==", "A=="), "git+https://example.org/a\n"):
            with self.assertRaises(ValueError, msg=bad):
                wheels.pinned(bad)


class Repository(unittest.TestCase):
    """What is checked in. The last lines of the quick tier say what was checked by whom."""

    @classmethod
    def setUpClass(cls):
        cls.config, cls.lock, cls.metadata = crates.read()

    def test_licences_are_allowed(self):
        self.assertEqual(crates.licences(self.config, self.metadata), [])
        print(f"supply: licences of {len(self.metadata['packages'])} crates, by deny.toml and cargo metadata")

    def test_all_crates_are_from_crates_io_and_fixed_by_the_lock(self):
        self.assertGreater(len(self.lock), 100)
        self.assertEqual(crates.sources(self.config, self.lock, self.metadata), [])

    def test_nothing_banned_and_no_second_version_is_there(self):
        self.assertEqual(crates.bans(self.config, self.lock, self.metadata), [])

    def test_no_advisory_hits_where_the_database_can_be_had(self):
        folder = advisories.database()
        if folder is None:
            print("supply: advisories: NOT CHECKED: no copy of https://github.com/rustsec/advisory-db here "
                  f"(clone it, and set {advisories.PLACE})")
            self.skipTest("no advisory database")
        files, hits = advisories.faults(self.lock, folder, self.config["advisories"]["ignore"])
        self.assertGreater(files, 0, f"{folder} has no advisory of any crate that is in the lock")
        self.assertEqual(hits, [])
        print(f"supply: advisories: {files} about crates of the lock, none hits ({folder})")

    def test_cargo_deny_agrees_where_it_is_installed(self):
        if shutil.which("cargo-deny") is None:
            print("supply: cargo-deny: NOT RUN: it is not installed")
            self.skipTest("no cargo-deny")
        run = functools.partial(subprocess.run, cwd=paths.REPO, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        which = ["bans", "licenses", "sources"]
        # Its own copy of the database, fetched now.
        which += ["advisories"] if run(["cargo", "deny", "fetch", "db"]).returncode == 0 else []
        said = run(["cargo", "deny", "--locked", "check", "--disable-fetch", *which])
        self.assertEqual(said.returncode, 0, said.stdout)
        print(f"supply: cargo-deny: {' '.join(which)}")

    def test_the_list_of_parts_is_in_step_with_the_lock(self):
        self.assertEqual(sbom.FILE.read_text(encoding="utf-8"), sbom.text(sbom.sbom(self.lock, self.metadata)),
                         "make it anew: integration/sbom.py")

    def test_the_list_of_parts_names_each_crate_that_is_built_with_its_checksum(self):
        listed = json.loads(sbom.FILE.read_text(encoding="utf-8"))
        parts = {(part["name"], part["version"]): part for part in listed["components"]}
        locked = {(package["name"], package["version"]): package.get("checksum") for package in self.lock}
        for (name, version), part in parts.items():
            if name == "libssh2":
                self.assertEqual(part["scope"], "required")
                continue
            self.assertEqual(part["hashes"][0]["content"], locked[name, version])
        self.assertEqual({package["name"] for package in self.metadata["packages"]} - {"nova-ha"}, {name for name, _ in parts} - {"libssh2"})
        use = {name: part["properties"][0]["value"] for (name, _), part in parts.items()}
        self.assertEqual([use[name] for name in ("tokio", "libssh2-sys", "cc", "serde_derive", "proptest")],
                         ["executables", "executables", "build", "build", "tests"])
        references = {part["bom-ref"] for part in listed["components"]} | {listed["metadata"]["component"]["bom-ref"]}
        for edge in listed["dependencies"]:
            self.assertLessEqual({edge["ref"], *edge["dependsOn"]}, references)

    def test_all_that_the_lab_takes_from_pypi_has_hashes(self):
        for file in wheels.FILES:
            self.assertTrue(wheels.pinned(file.read_text(encoding="utf-8")), file)
        openstack = wheels.pinned((paths.INTEGRATION / "openstack" / "constraints.txt").read_text(encoding="utf-8"))
        wanted = (paths.INTEGRATION / "openstack" / "requirements.txt").read_text(encoding="utf-8").split()
        self.assertLessEqual({name.lower() for name in wanted}, set(openstack))
        self.assertIn("sushy-tools", wheels.pinned(wheels.FILES[0].read_text(encoding="utf-8")))
        for script in ("bootstrap.sh", "openstack/install.sh"):
            text = (paths.INTEGRATION / script).read_text(encoding="utf-8")
            for line in re.findall(r'bin/pip" install[^\n]*(?:\\\n[^\n]*)*', text):
                self.assertIn("--require-hashes", line)
                self.assertIn("--no-deps", line)


if __name__ == "__main__":
    unittest.main()
