"""The parts of the lab that need neither root nor a network."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from novalab import demo, events, latch, paths, processes, quick, scenario, sweep, wait


class Processes(unittest.TestCase):
    def test_a_pid_that_belongs_to_someone_else_now_is_never_killed(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
        try:
            other = (child.pid, processes.start_time(child.pid) - 1)
            self.assertFalse(processes.kill(other))
            self.assertIsNone(child.poll())
        finally:
            self.assertTrue(processes.kill((child.pid, processes.start_time(child.pid))))
            child.wait()

    def test_a_zombie_is_not_alive(self):
        child = subprocess.Popen([sys.executable, "-c", ""])
        identity = (child.pid, processes.start_time(child.pid))
        wait.until("it ends", lambda: not processes.alive(identity), 10, 0.01)
        child.wait()


class Bmc(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.state = self.folder.name
        for name in ("bmc/a", "machines/a", "machines/b"):
            os.makedirs(os.path.join(self.state, name))
        self.bmc = latch.Bmc(self.state, "a")

    def put(self, text, *path):
        Path(self.state, *path).write_text(text, encoding="utf-8")

    def test_a_latch_that_nobody_moved_is_off(self):
        self.assertFalse(self.bmc.reads_on())

    def test_a_lying_bmc_reads_off_with_the_power_on(self):
        self.put("on", "machines", "a", "latch")
        self.assertTrue(self.bmc.reads_on())
        self.put("", "bmc", "a", "lies")
        self.assertFalse(self.bmc.reads_on())

    def test_a_stuck_bmc_says_ok_and_does_nothing_and_the_command_is_recorded(self):
        self.put("on", "machines", "a", "latch")
        self.put("", "bmc", "a", "stuck")
        self.bmc.command("off", "ipmi")
        self.assertTrue(self.bmc.reads_on())
        (event,) = events.read(self.state, "command")
        self.assertEqual((event["bmc"], event["machine"], event["what"], event["obeyed"]), ("a", "a", "off", False))

    def test_a_swapped_bmc_reads_and_moves_the_other_s_power(self):
        self.put("on", "machines", "b", "latch")
        self.put("b", "bmc", "a", "victim")
        self.assertTrue(self.bmc.reads_on())
        self.assertEqual(self.bmc.latch().machine, "b")


class Waiting(unittest.TestCase):
    def test_a_condition_that_stays_false_says_what_was_seen_last(self):
        with self.assertRaisesRegex(wait.Timeout, "the thing.*KeyError"):
            wait.until("the thing", lambda: {}["x"], 0.05, 0.01)

    def test_it_never_waits_much_longer_than_it_says(self):
        started = time.monotonic()
        with self.assertRaises(wait.Timeout):
            wait.until("nothing", lambda: False, 0.2, 0.05)
        self.assertLess(time.monotonic() - started, 2)

    def test_what_must_not_happen_is_looked_for_again_after_a_look_without_an_answer(self):
        looks = mock.Mock(side_effect=[OSError("no answer"), "it happened"])
        with self.assertRaisesRegex(AssertionError, "the bad thing.*it happened"):
            wait.never("the bad thing", looks, 5, 0.01)

    def test_nothing_happened_only_if_somebody_saw_so_at_the_end(self):
        looks = mock.Mock(side_effect=[OSError("no answer"), OSError("no answer"), False])
        wait.never("the bad thing", looks, 0, 0.01)
        self.assertEqual(looks.call_count, 3)
        with mock.patch.object(wait, "LAST_LOOK_SECONDS", 0.05), self.assertRaisesRegex(OSError, "no answer"):
            wait.never("the bad thing", mock.Mock(side_effect=OSError("no answer")), 0, 0.01)


class Scenarios(unittest.TestCase):
    def test_every_scenario_says_what_it_proves(self):
        found = scenario.discover()
        self.assertTrue(found)
        self.assertEqual(len({s.name for s in found}), len(found))

    def test_a_scenario_without_a_word_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "99_silent.py")
            path.write_text("def run(lab):\n    pass\n", encoding="utf-8")
            with self.assertRaisesRegex(ValueError, "99_silent"):
                scenario.Scenario.read(path)


class Sweep(unittest.TestCase):
    def test_the_product_s_cron_file_is_understood(self):
        env, jobs = sweep.parse((paths.REPO / "consul-watches" / "cron" / "nova-ha").read_text(encoding="utf-8"))
        self.assertEqual(set(env), {"SHELL", "PATH"})
        self.assertEqual([job.count("start-recover") for job in jobs], [1, 0])
        self.assertEqual([job.count("nova-ha-mark-failed") for job in jobs], [0, 1])

    def test_a_job_of_another_user_is_refused(self):
        with self.assertRaisesRegex(ValueError, "someone"):
            sweep.parse("* * * * * someone true\n")


class Demo(unittest.TestCase):
    def test_a_stamp_with_nanoseconds_is_shown_to_the_millisecond(self):
        self.assertRegex(demo.clock(demo.stamp("2026-11-22T17:44:23.161481411Z")), r"^\d\d:\d\d:23\.161$")

    def test_a_result_that_could_not_be_written_is_said_before_anything_is_brought_up(self):
        brought_up = mock.patch.object(demo.Lab, "create", side_effect=AssertionError("it was brought up"))
        with brought_up, self.assertRaisesRegex(ValueError, "/nonexistent/demo.json"):
            demo.main("/nonexistent/demo.json")

    def test_a_demo_that_fails_ends_with_1_and_its_file_says_so(self):
        # What the demo says of a lab before it brings it up, and what it does with one that does not come up.
        lab = mock.Mock(hosts=["compute1"], ha_nodes=["ha1"], disks=None, up=mock.Mock(side_effect=wait.Timeout("no leader")),
                        keep_logs=mock.Mock(return_value="/logs"))
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(demo.Lab, "create", return_value=lab):
            file = Path(folder) / "demo.json"
            with contextlib.redirect_stdout(io.StringIO()) as said:
                self.assertEqual(demo.main(str(file)), 1)
            result = json.loads(file.read_text(encoding="utf-8"))
        self.assertEqual(result, {"result": "failed", "incident": None, "phases": [], "guests": []})
        self.assertIn("Timeout: no leader", said.getvalue())
        self.assertIn("logs: ", said.getvalue())
        lab.down.assert_called_once()


class Counting(unittest.TestCase):
    def test_nextest_cargo_and_unittest_are_counted(self):
        nextest = ["     Summary [   0.9s] 7 tests run: 5 passed, 2 failed, 0 skipped\n"]
        self.assertEqual(quick.count(nextest), (5, 2))
        cargo = ["test result: ok. 3 passed; 0 failed; 0 ignored\n", "test result: FAILED. 1 passed; 1 failed; 0\n"]
        self.assertEqual(quick.count(cargo), (4, 1))
        self.assertEqual(quick.count(["Ran 9 tests in 0.1s\n", "FAILED (failures=1, errors=2)\n"]), (6, 3))


if __name__ == "__main__":
    unittest.main()
