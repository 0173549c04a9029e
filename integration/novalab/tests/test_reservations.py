"""What is read of a reservation is read rightly; it needs no disk."""

import unittest
from unittest import mock

from novalab.machine import Done
from novalab.uml import reservations
from novalab.uml.reservations import Reserved

# As sg_persist says it of LIO.
NOBODY = "  PR generation=0x0\n  No full status descriptors\n"
TWO = """\
  PR generation=0x3
    Key=0xa1
      All target ports bit clear
      Relative port address: 0x1
      << Reservation holder >>
      scope: LU_SCOPE,  type: Write Exclusive, registrants only
      Transport Id of initiator:
        iSCSI world wide unique port id: iqn.2026-11.example.nova-ha-lab:ha1,i,0x00023d000001
    Key=0xa2
      All target ports bit clear
      Relative port address: 0x1
      not reservation holder
      Transport Id of initiator:
        iSCSI world wide unique port id: iqn.2026-11.example.nova-ha-lab:ha2,i,0x00023d000001
"""


class Reservations(unittest.TestCase):
    def asked(self, *answers):
        made = mock.Mock(exec=mock.Mock(side_effect=[Done(["sg_persist"], code, out, "") for code, out in answers]))
        return reservations.of(made, "/dev/sda")

    def test_who_is_registered_and_who_holds_it_is_read_by_the_machines_names(self):
        self.assertEqual(reservations.parse(NOBODY), Reserved({}))
        two = Reserved({"ha1": 0xA1, "ha2": 0xA2}, "ha1", "Write Exclusive, registrants only")
        self.assertEqual(reservations.parse(TWO), two)

    def test_what_a_disk_has_to_tell_first_is_no_answer(self):
        self.assertEqual(self.asked((reservations.ATTENTION, ""), (0, NOBODY)), Reserved({}))

    def test_an_end_that_is_neither_an_answer_nor_a_conflict_is_an_error(self):
        for answers in ([(9, "")], [(reservations.ATTENTION, "")] * reservations.MOST_TOLD, [(reservations.CONFLICT, "")]):
            with self.assertRaises(AssertionError):
                self.asked(*answers)


if __name__ == "__main__":
    unittest.main()
