"""The documents: every link and anchor leads somewhere, the README stays short, and each decision has one form and one row."""

import os
import re
import tempfile
import unittest
from pathlib import Path

from novalab import paths

LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)\)|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1[^\n]*$", re.MULTILINE | re.DOTALL)
# The README is a door, not a manual.
README_LINES = 130


def documents(root=paths.REPO):
    """All pages of the repository, none of what was built or fetched."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name != "target" and not name.startswith(".")]
        found += [Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(found)


def without_code(text):
    """The text without blocks and spans of code: a link there is none."""
    text = FENCE.sub(lambda block: "\n" * block.group(0).count("\n"), text)
    return re.sub(r"`[^`\n]*`", lambda span: "`" + "x" * (len(span.group(0)) - 2) + "`", text)


def anchors(text):
    """The anchors of a page's headings, as GitHub makes them."""
    found, seen = set(), {}
    for line in FENCE.sub("", text).splitlines():
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if not heading:
            continue
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1)).replace("`", "").replace("*", "").lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        found.add(f"{anchor}-{count}" if count else anchor)
    return found


def broken(page):
    """The links of a page that lead nowhere."""
    wrong = []
    text = page.read_text(encoding="utf-8")
    for link in LINK.finditer(without_code(text)):
        target = link.group(1) or link.group(2)
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            wrong.append(f"{page.name}: {target}: there is no such file")
        elif anchor and (file.suffix != ".md" or anchor not in anchors(file.read_text(encoding="utf-8"))):
            wrong.append(f"{page.name}: {target}: there is no such heading")
    return wrong


class Links(unittest.TestCase):
    def test_every_link_and_anchor_leads_somewhere(self):
        pages = documents()
        self.assertGreater(len(pages), 50)
        self.assertEqual([fault for page in pages for fault in broken(page)], [])

    def test_what_leads_nowhere_is_found(self):
        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder, "a.md")
            headings = "# What `it` is, and is *not*\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n"
            Path(folder, "b.md").write_text(headings, encoding="utf-8")
            good = "[x](b.md) [y](b.md#what-it-is-and-is-not) [z](b.md#twice-1) [w](https://example.org/x) `[v](c.md)`\n"
            page.write_text(good, encoding="utf-8")
            self.assertEqual(broken(page), [])
            anchors = ("[x](b.md#nowhere)", "[x](b.md#twice-2)", "[x](b.md#no-heading)", "[x](#here)")
            for bad in ("[x](c.md)", "![x](c.svg)", "[x]: c.md", *anchors):
                page.write_text(bad + "\n", encoding="utf-8")
                self.assertEqual(len(broken(page)), 1, bad)

    def test_every_page_of_docs_is_in_its_index(self):
        index = (paths.REPO / "docs" / "README.md").read_text(encoding="utf-8")
        for page in sorted((paths.REPO / "docs").glob("*.md")):
            if page.name != "README.md":
                self.assertIn(f"]({page.name}", index)


class Readme(unittest.TestCase):
    def test_it_is_short_and_says_how_to_try_and_to_test(self):
        lines = (paths.REPO / "README.md").read_text(encoding="utf-8").splitlines()
        self.assertLessEqual(len(lines), README_LINES)
        for command in ("integration/lab demo", "integration/lab test"):
            self.assertTrue(any(line.startswith(command) for line in lines), command)


class Decisions(unittest.TestCase):
    FOLDER = paths.REPO / "docs" / "decisions"
    RECORDS = sorted(page for page in FOLDER.glob("*.md") if page.name != "README.md")

    def test_each_has_its_number_a_title_and_what_was_decided(self):
        for page in self.RECORDS:
            text = page.read_text(encoding="utf-8")
            self.assertRegex(page.name, r"^\d{4}-[a-z0-9.-]+\.md$")
            self.assertRegex(text, rf"\A# {page.name[:4]} \S")
            self.assertIn("**Decided.**", text, page.name)

    def test_each_has_one_row_in_the_index_and_every_gap_is_explained(self):
        index = (self.FOLDER / "README.md").read_text(encoding="utf-8")
        rows = re.findall(r"^\| \[(\d{4})\]\((\S+)\) \| \S", index, re.MULTILINE)
        self.assertEqual(sorted(name for _, name in rows), [page.name for page in self.RECORDS])
        self.assertTrue(all(name.startswith(number) for number, name in rows))
        there = {int(page.name[:4]) for page in self.RECORDS}
        for missing in set(range(1, max(there))) - there:
            self.assertIn(f"*{missing:04}*", index)


if __name__ == "__main__":
    unittest.main()
