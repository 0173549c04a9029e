"""How the benchmarks divide time."""

import contextlib
import io
import unittest

from novalab import bench, bench_md

DAY = "2026-01-01T00:00:"


def at(second):
    """A stamp as the product and the cloud write it."""
    return f"{DAY}{second:09.6f}Z"


def entry(second, event, step):
    return {"at": at(second), "what": {"event": event, "step": step}}


def request(end, ms):
    return {"at": at(end).replace("Z", "+00:00"), "ms": ms, "source": "10.77.1.2"}


LOG = f"""\
{at(1.0)}  INFO begins incident=compute1@1 host=compute1 step="take storage"
{at(2.0)} DEBUG program program=/usr/bin/ipmitool seconds=0.5 ended=Exit(0)
{at(5.5)} DEBUG program program=/usr/sbin/mdadm seconds=0.25 ended=Exit(0)
{at(6.0)}  WARN looking again why="program=/usr/sbin/mdadm seconds=9 ended=Exit(1)"
{at(6.3)} DEBUG program program=/usr/bin/sg_persist seconds=0.2 ended=Exit(0)
{at(6.35)} DEBUG program program=/usr/bin/sg_persist seconds=0.15 ended=Exit(0)
{at(7.5)} DEBUG program program=/usr/bin/mount seconds=1 ended=Exit(0)
{at(7.75)} DEBUG program program=/usr/bin/udevadm seconds=1e-1 ended=Exit(0)
"""


class Covered(unittest.TestCase):
    def test_spans_that_overlap_count_once(self):
        self.assertEqual(bench.covered([(1, 3), (2, 4)], 0, 10), 3)

    def test_what_lies_outside_does_not_count(self):
        self.assertEqual(bench.covered([(0, 2), (9, 12), (20, 21)], 1, 10), 2)


class Takeover(unittest.TestCase):
    def figures(self, requests=()):
        journal = [entry(1, "started", "fence"), entry(4, "finished", "fence"), entry(4.1, "started", "declare_down"),
                   entry(8, "finished", "take_storage"), entry(9, "finished", "evacuate")]
        return bench_md.figures(*bench_md.window(journal), bench_md.programs(LOG), list(requests))

    def test_the_time_of_mdadm_and_mount_is_theirs_and_the_rest_is_ours(self):
        found = self.figures()
        self.assertAlmostEqual(found.total, 4, 5)
        self.assertAlmostEqual(found.theirs, 1.25, 5)
        self.assertAlmostEqual(found.own, 2.75, 5)
        self.assertAlmostEqual(found.ratio, 4 / 1.25, 5)

    def test_reserving_is_at_our_own_cost_and_how_much_is_told(self):
        found = self.figures()
        self.assertAlmostEqual(found.reserving, 0.25, 5)
        self.assertAlmostEqual(found.own, 2.75, 5)

    def test_udev_is_waited_for_at_our_own_cost(self):
        times, seconds = self.figures().programs["udevadm"]
        self.assertEqual(times, 1)
        self.assertAlmostEqual(seconds, 0.1, 5)

    def test_what_ran_before_off_was_proved_is_not_counted(self):
        self.assertNotIn("ipmitool", self.figures().programs)

    def test_what_nova_takes_is_not_ours_and_is_not_in_the_ratio(self):
        found = self.figures([request(4.5, 250), request(4.6, 250)])
        self.assertAlmostEqual(found.nova, 0.35, 5)
        self.assertAlmostEqual(found.own, 2.4, 5)
        self.assertAlmostEqual(found.ratio, 3.65 / 1.25, 5)

    def test_nova_s_answer_while_mdadm_runs_counts_once(self):
        found = self.figures([request(5.5, 250)])
        self.assertAlmostEqual(found.nova, 0, 5)
        self.assertAlmostEqual(found.own, 2.75, 5)

    def test_a_log_without_programs_is_no_measurement(self):
        with self.assertRaisesRegex(AssertionError, "mdadm"):
            bench_md.figures(1, 2, bench_md.programs("nothing"), [])

    def test_a_quoted_line_is_no_program(self):
        self.assertEqual([name for name, _, _ in bench_md.programs(LOG)], ["ipmitool", "mdadm", "sg_persist", "sg_persist", "mount", "udevadm"])


class Bound(unittest.TestCase):
    def code(self, *own):
        measured = [bench_md.Figures(total=2 + o, theirs=2, nova=0, own=o, reserving=0, programs={}) for o in own]
        with contextlib.redirect_stdout(io.StringIO()):
            return bench_md.tell(measured, 100)

    def test_one_slow_run_of_three_is_the_machine_s(self):
        self.assertEqual(self.code(0.5, 0.6, 3.0), 0)

    def test_a_typical_run_over_the_bound_fails(self):
        self.assertEqual(self.code(0.5, 1.1, 1.2), 1)


if __name__ == "__main__":
    unittest.main()
