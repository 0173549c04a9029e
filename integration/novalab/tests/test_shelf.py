"""Who sees which disk of a shelf; it needs no machine."""

import json
import tempfile
import unittest
from unittest import mock

from novalab.uml import shelf
from novalab.uml.disks import SharedDisks


def machine(name, index):
    """What uml/disks.py knows of a machine; its spec is a dict of this object."""
    made = mock.Mock(index=index, has_disks=True, said={}, storage_address=f"10.78.1.{index}")
    made.name = name
    made.change_spec = lambda change: change(made.said)
    return made


class Shelf(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.hosts, self.nodes = [machine("a", 1), machine("b", 2)], [machine("ha1", 3), machine("ha2", 4)]
        self.shelf = machine(shelf.NAME, shelf.INDEX)
        self.disks = SharedDisks(self.folder.name, self.hosts, self.nodes, self.shelf)
        self.disks.install(2, 1)

    def test_only_the_shelf_has_the_files_and_each_machine_has_a_list_of_what_it_may_see(self):
        serial = {disk["serial"]: disk["host"] for disk in self.shelf.said["disks"]}
        self.assertEqual(sorted(serial.values()), ["a", "a", "b", "b"])
        seen = {export["initiator"].rpartition(":")[2]: {serial[disk] for disk in export["disks"]}
                for export in self.shelf.said["exports"]}
        self.assertEqual(seen, {"a": {"a"}, "b": {"b"}, "ha1": {"a", "b"}, "ha2": {"a", "b"}})
        for made, export in zip((*self.hosts, *self.nodes), self.shelf.said["exports"]):
            self.assertNotIn("disks", made.said)
            self.assertEqual(made.said["shelf"]["serials"], export["disks"])
            self.assertEqual(made.said["shelf"]["portal"], f"10.78.1.{shelf.INDEX}:3260")

    def test_its_bays_stay_as_they_are_and_nothing_has_changed_when_that_is_said(self):
        before = json.dumps(self.shelf.said)
        for change in (self.disks.pull, self.disks.put_back, self.disks.replace):
            with self.assertRaisesRegex(AssertionError, "stay in their bays"):
                change("a", 0)
        self.assertEqual(json.dumps(self.shelf.said), before)

if __name__ == "__main__":
    unittest.main()
