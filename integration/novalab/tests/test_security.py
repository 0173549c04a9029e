"""SECURITY.md says something of every actor and power, names tests that exist, and has a line for each *yes*."""

import re
import unittest

from novalab import paths

POWERS = ("shoot a healthy host", "prevent a recovery", "read secrets", "run code as root", "run a guest twice, or take another's disks")
ACTORS = ("tenant", "runtime-info token", "boot-guard token", "Consul agent token", "root on A", "probe token", "mark-failed token",
          "recover token", "root on an HA node", "compromised BMC", "man in the middle", "local user", "`config/fence`",
          "`ha_cluster/policy`")
NAMED = re.compile(r"\[[^\]]+\]\(([^)#]+)\)((?:,? ?`[a-z0-9_]+`)*)")


def cells(text):
    """(who, power, answer, line) of each row."""
    rows = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| ") and "**" in line]
    return [tuple(cell.strip().strip("|").strip() for cell in (row[0], row[1], row[2].strip("* "), " | ".join(row[3:]))) for row in rows]


def tests_of(line):
    """(file, test) of what a line names, test None where it is the file itself."""
    found = []
    for path, names in NAMED.findall(line):
        tests = re.findall(r"`([a-z0-9_]+)`", names)
        found += [(path, test) for test in tests] or [(path, None)]
    return found


def faults(text):
    """All that is wrong with the table."""
    table = cells(text)
    wrong = []
    for actor in ACTORS:
        for power in POWERS:
            here = [row for row in table if actor in row[0] and row[1] == power]
            if len(here) != 1:
                wrong.append(f"{actor}: {power}: {len(here)} rows")
    if len(table) != len(ACTORS) * len(POWERS):
        wrong.append(f"{len(table)} rows")
    for who, power, answer, line in table:
        cell = f"{who}: {power}"
        named = tests_of(line)
        if answer not in ("yes", "no"):
            wrong.append(f"{cell}: neither yes nor no: {answer!r}")
        elif answer == "yes" and len(re.sub(NAMED, "", line).split()) < 2:
            wrong.append(f"{cell}: a yes without a line")
        elif answer == "no" and not any(test for _, test in named) and "*not shown:* " not in line:
            wrong.append(f"{cell}: a no without a test")
        for path, test in named:
            # A module's tests may stand in a file of their own, below it.
            file = paths.REPO / path
            texts = [place.read_text(encoding="utf-8") for place in (file, file.with_suffix("") / "tests.rs") if place.is_file()]
            if not texts:
                wrong.append(f"{cell}: {path} does not exist")
            elif test and not any(re.search(rf"\b(fn|def) {test}\(", text) for text in texts):
                wrong.append(f"{cell}: {path} has no test {test}")
    return wrong


class Security(unittest.TestCase):
    TEXT = (paths.REPO / "SECURITY.md").read_text(encoding="utf-8")

    def test_every_cell_is_answered_and_every_named_test_exists(self):
        self.assertEqual(faults(self.TEXT), [])

    def test_what_is_wrong_is_found(self):
        lines = self.TEXT.splitlines(keepends=True)
        first = next(number for number, line in enumerate(lines) if "| **no** | whether" in line)
        who, power, _, _ = lines[first].strip("| \n").split(" | ", 3)

        def with_line(line):
            return len(faults("".join([*lines[:first], line, *lines[first + 1:]])))

        self.assertEqual(with_line(""), 2)
        self.assertEqual(with_line(f"| {who} | {power} | **no** | by construction |\n"), 1)
        self.assertEqual(with_line(f"| {who} | {power} | **no** | [x](tests/nowhere.rs) `a_test` |\n"), 1)
        self.assertEqual(with_line(f"| {who} | {power} | **no** | [x](tests/import_rules/main.rs) `no_such_test_at_all` |\n"), 1)
        self.assertEqual(with_line(f"| {who} | {power} | **yes** | |\n"), 1)
        self.assertEqual(with_line(f"| {who} | {power} | **perhaps** | it may be so |\n"), 1)
        self.assertEqual(with_line(lines[first] * 2), 2)


if __name__ == "__main__":
    unittest.main()
