"""The safety checks find what they are there to find."""

import unittest

from novalab import verdict


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


if __name__ == "__main__":
    unittest.main()
