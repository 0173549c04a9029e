"""docs/promises.md: every test and scenario that a promise names exists, and no promise stands there without one."""

import re
import unittest

from novalab import paths

PAGE = paths.REPO / "docs" / "promises.md"
LINK = re.compile(r"\[([^\]]+)\]\(([^)#\s]+)(?:#[^)]*)?\)")
# A word of three parts at least in backticks is the name of a test; a setting of the policy has none of its own in that column.
TEST = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+){2,})`")
# What is measured has no name of a test, but the program that measures it.
MEASURED = re.compile(r"bench(_md)?\.py|`integration/lab bench")


def rows(text):
    """(promise, what keeps it) of each row of the tables."""
    found = []
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| promise |"):
            promise, _, kept_by = line.strip().strip("|").rpartition(" | ")
            found.append((promise.strip(), kept_by.strip()))
    return found


def texts(path):
    """The Rust and Python text at a link: a file, its tests beside it, or all of a folder."""
    within = sorted([*path.rglob("*.rs"), *path.rglob("*.py")])
    files = within if path.is_dir() else [path, path.with_suffix("") / "tests.rs"]
    return [file.read_text(encoding="utf-8") for file in files if file.is_file()]


def faults(text, page=PAGE):
    """All that is wrong with the tables."""
    wrong = []
    for promise, kept_by in rows(text):
        links = list(LINK.finditer(kept_by))
        for link in links:
            if not (page.parent / link.group(2)).exists():
                wrong.append(f"{promise[:60]}: {link.group(2)} does not exist")
        # A test is looked for in what was linked last before its name.
        named = 0
        for test in TEST.finditer(kept_by):
            before = [link for link in links if link.start() < test.start()]
            where = page.parent / before[-1].group(2) if before else None
            named += 1
            if where is None:
                wrong.append(f"{promise[:60]}: in which file is {test.group(1)}?")
            elif not any(re.search(rf"\b(fn|def) {test.group(1)}\b", body) for body in texts(where)):
                wrong.append(f"{promise[:60]}: {before[-1].group(2)} has no test {test.group(1)}")
        whole = [link for link in links if link.group(2).endswith((".py", ".rs")) or (page.parent / link.group(2)).is_dir()]
        if not named and not whole and kept_by != "*pending*" and not MEASURED.search(kept_by):
            wrong.append(f"{promise[:60]}: nothing keeps it")
    return wrong


class Promises(unittest.TestCase):
    TEXT = PAGE.read_text(encoding="utf-8")

    def test_every_test_and_scenario_that_is_named_exists(self):
        self.assertEqual(faults(self.TEXT), [])
        self.assertGreater(len(rows(self.TEXT)), 100)

    def test_what_is_wrong_is_found(self):
        good = "| x | [import_rules.rs](../tests/import_rules/main.rs) `the_table_itself_keeps_the_halves_apart` |\n"
        self.assertEqual(faults(good), [])
        for bad in (
            "| x | |\n",
            "| x | by construction |\n",
            "| x | `the_table_itself_keeps_the_halves_apart` |\n",
            "| x | [a](../tests/nowhere.rs) |\n",
            good.replace("halves_apart", "halves_together"),
            "| x | [00](../integration/scenarios/99_never_written.py) |\n",
        ):
            self.assertEqual(len(faults(bad)), 1, bad)


if __name__ == "__main__":
    unittest.main()
