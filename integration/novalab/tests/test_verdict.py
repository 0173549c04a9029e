"""The safety checks find what they are there to find."""

import unittest

from novalab import verdict
from novalab.incidents import Incident


def migration(number, status, created, updated=None, source="compute1", guest="vm-01"):
    stamp = "2026-01-01T00:00:{:09.6f}".format
    return {"id": number, "guest": guest, "status": status, "source_compute": source, "created_at": stamp(created),
            "updated_at": stamp(updated) if updated is not None else None}


def power(event, second, machine="compute1"):
    return {"event": event, "machine": machine, "at": verdict.seconds(f"2026-01-01T00:00:{second:02d}")}


class SourcesAlive(unittest.TestCase):
    def test_an_evacuation_from_a_host_with_power_is_found(self):
        found = verdict._sources_alive([migration(1, "done", 10)], [power("on", 1), power("off", 20)], set())
        self.assertEqual(len(found), 1)

    def test_an_evacuation_after_the_cut_is_fine(self):
        found = verdict._sources_alive([migration(1, "done", 10)], [power("on", 1), power("off", 9)], set())
        self.assertEqual(found, [])

    def test_a_host_that_came_back_has_power_again(self):
        record = [power("on", 1), power("off", 5), power("on", 8)]
        self.assertEqual(len(verdict._sources_alive([migration(1, "done", 10)], record, set())), 1)

    def test_another_machine_s_power_does_not_count(self):
        record = [power("on", 1), power("off", 5), power("on", 8, "compute2")]
        self.assertEqual(verdict._sources_alive([migration(1, "done", 10)], record, set()), [])

    def test_a_scenario_may_name_a_host_that_cannot_be_caught(self):
        self.assertEqual(verdict._sources_alive([migration(1, "done", 10)], [power("on", 1)], {"compute1"}), [])


class Doubles(unittest.TestCase):
    def test_a_second_evacuation_while_one_runs_is_found(self):
        self.assertEqual(len(verdict._doubles([migration(1, "accepted", 1), migration(2, "accepted", 2)])), 1)

    def test_a_second_evacuation_before_the_first_ended_is_found(self):
        self.assertEqual(len(verdict._doubles([migration(1, "done", 1, 5), migration(2, "done", 4, 8)])), 1)

    def test_a_second_evacuation_after_a_failed_one_is_fine(self):
        self.assertEqual(verdict._doubles([migration(1, "failed", 1, 3), migration(2, "done", 4, 8)]), [])

    def test_two_guests_at_once_are_fine(self):
        both = [migration(1, "accepted", 1), migration(2, "accepted", 1, guest="vm-02")]
        self.assertEqual(verdict._doubles(both), [])


class Unproved(unittest.TestCase):
    def incident(self, host, fenced_at=None, asked=("vm-01",)):
        journal = []
        if fenced_at is not None:
            what = {"event": "finished", "step": "fence"}
            journal = [{"what": what, "at": f"2026-01-01T00:00:{fenced_at:02d}Z"}]
        return Incident(f"{host}@0", {}, journal, {name: {"attempts": 1} for name in asked})

    def test_guests_of_a_host_that_was_proved_off_may_go(self):
        self.assertEqual(verdict.unproved([migration(1, "done", 10)], [self.incident("compute1", 9)]), [])

    def test_the_proof_comes_before_the_evacuation(self):
        self.assertEqual(len(verdict.unproved([migration(1, "done", 10)], [self.incident("compute1", 12)])), 1)
        self.assertEqual(len(verdict.unproved([migration(1, "done", 10)], [self.incident("compute1")])), 1)

    def test_the_proof_is_of_the_host_that_the_guest_left(self):
        moved = [migration(1, "done", 10, source="compute2")]
        self.assertEqual(len(verdict.unproved(moved, [self.incident("compute1", 9)])), 1)

    def test_what_somebody_else_asked_for_is_not_ours(self):
        self.assertEqual(verdict.unproved([migration(1, "done", 10)], [self.incident("compute1", asked=())]), [])


if __name__ == "__main__":
    unittest.main()
