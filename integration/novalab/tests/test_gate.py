"""What stands before a change: the checks, what a test run consists of, and what it says at its end."""

import contextlib
import io
import json
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from novalab import check, cli, cluster, consul, durations, paths, plan, quick, report, runner, scenario, wait


def silent():
    return contextlib.redirect_stdout(io.StringIO())


def known(seconds=None):
    """Durations that nobody reads from a disk, and that keep nothing."""
    return mock.Mock(of=lambda name: (seconds or {}).get(name, 10.0), all_of=lambda names, jobs: 10.0 * len(names))


def made_up(name, tier="lab"):
    return scenario.Scenario(name, Path(f"{name}.py"), "it proves something", 300, tier)


class Checks(unittest.TestCase):
    def ran(self, *checks):
        with tempfile.TemporaryDirectory() as folder, mock.patch.object(check, "LOGS", Path(folder)), silent() as said:
            ran = report.Report()
            check.run(checks, ran, known())
            code = ran.summary()
            logs = {log.name: log.read_text(encoding="utf-8") for log in Path(folder).iterdir()}
        return code, said.getvalue(), logs

    def test_one_that_fails_is_named_with_what_to_do_and_its_output_is_kept(self):
        code, said, logs = self.ran(check.Check("check: this", ("sh", "-c", "echo bad line; exit 3"), "mend it so"),
                                    check.Check("check: that", ("true",)))
        self.assertEqual(code, 1)
        self.assertIn("check: this: bad line\n      next: mend it so", said)
        self.assertTrue(said.endswith("1 passed, 1 failed\n"), said)
        self.assertEqual(logs, {"check-this.log": "bad line\n"})

    def test_one_whose_program_is_not_there_has_failed(self):
        code, said, _ = self.ran(check.Check("check: x", ("/nonexistent/linter",)))
        self.assertEqual(code, 1)
        self.assertIn("/nonexistent/linter cannot be run", said)

    def test_every_shell_script_is_looked_at_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as folder:
            repo = Path(folder)
            for name, text in (("a.sh", "true\n"), ("hook", "#!/bin/sh\n"), ("lab", "#!/usr/bin/env bash\n"),
                               ("p.py", "#!/usr/bin/env python3\n"), ("text", "sh\n"), ("ignored.sh", ""), (".gitignore", "ignored.sh\n")):
                (repo / name).write_text(text, encoding="utf-8")
            subprocess.run(["git", "init", "--quiet", folder], check=True)
            self.assertEqual(check.shell_scripts(repo), ["a.sh", "hook", "lab"])

    def test_the_quick_tier_has_every_check_itself_or_in_what_it_runs(self):
        whole = plan.whole(("quick",))
        for part in check.checks():
            runs = [command.argv for command in whole.quick_commands()]
            self.assertTrue(part in whole.checks or (part.in_quick and part.command in runs), part.name)

    def test_what_needs_a_compiler_is_not_waited_for_by_a_commit(self):
        slow = {part.name for part in check.checks() if not part.fast}
        self.assertEqual(slow, {"check: clippy", "check: rustdoc"})


class Summary(unittest.TestCase):
    def test_what_went_wrong_comes_first_then_the_logs_then_the_count_alone(self):
        with silent() as said:
            ran = report.Report(parts=3, expected=60)
            ran.passed("01_a", 2.0, "it proves a")
            ran.failed("02_b", 3.0, "AssertionError: the host is alive\n", paths.REPO / "target" / "b", "integration/lab run 02_b")
            ran.ended("quick: tests", 4.0, 9, 1)
            ran.blame("suite test_c", "the test failed", paths.REPO / "target" / "c.log")
            self.assertEqual(ran.summary(), 1)
        progress, _, end = said.getvalue().partition("\nWhat went wrong:\n")
        self.assertEqual([line.split(" (")[0] for line in progress.splitlines()], ["PASS 01_a", "FAIL 02_b", "FAIL quick: tests"])
        self.assertRegex(progress, r"1 of 3, none failed, about \d+ s left\): it proves a")
        self.assertEqual(end.splitlines(), [
            "  02_b: AssertionError: the host is alive", "      next: integration/lab run 02_b", "  suite test_c: the test failed", "",
            "Logs:", "  target/b", "  target/c.log", "10 passed, 2 failed"])

    def test_a_run_without_a_failure_says_only_the_count(self):
        with silent() as said:
            self.assertEqual(report.Report().summary(), 0)
        self.assertEqual(said.getvalue(), "0 passed, 0 failed\n")

    def test_the_failed_tests_of_each_runner_are_named_once(self):
        self.assertEqual(quick.failed(["        PASS [   0.1s] nova-ha::a b\n", "        FAIL [   2.6s] (  3/100) nova-ha::a c::d\n",
                                       "    test c::d ... FAILED\n", "        FAIL [   2.6s] nova-ha::a c::d\n",
                                       "     TIMEOUT [ 300.0s] nova-ha::a e\n", "     SIGABRT [ 1.0s] nova-ha::a f\n"]),
                         ["nova-ha::a c::d", "nova-ha::a e", "nova-ha::a f"])
        self.assertEqual(quick.failed(["test x::y ... FAILED\n", "test x::z ... ok\n"]), ["x::y"])
        self.assertEqual(quick.failed(["FAIL: test_a (m.C.test_a)\n", "ERROR: test_b (m.C.test_b)\n"]),
                         ["test_a (m.C.test_a)", "test_b (m.C.test_b)"])


class Plans(unittest.TestCase):
    def names(self, chosen):
        return [found.name for group in chosen.scenarios.values() for found in group]

    def test_all_is_every_scenario_every_check_and_the_quick_tier(self):
        chosen = cli.planned(cli.parser().parse_args(["test", "--all"]))
        self.assertEqual(sorted(self.names(chosen)), [found.name for found in scenario.discover()])
        self.assertTrue(chosen.has("quick") and chosen.checks)

    def test_without_a_word_it_is_one_scenario_of_each_kind_and_says_what_is_left_out(self):
        for is_here in (True, False):
            with mock.patch.object(plan, "real_nova_is_here", lambda is_here=is_here: is_here), \
                    mock.patch.object(plan, "real_disks_are_here", lambda is_here=is_here: is_here):
                chosen = plan.one_of_each_kind()
            expected = {name for name in plan.KINDS.values() if is_here or name[0] not in "56"}
            self.assertEqual(set(self.names(chosen)), expected)
            self.assertEqual([what.split(":")[0] for what in chosen.left_out], [] if is_here else ["real Nova", "real disks"])
            self.assertTrue(chosen.has("quick") and chosen.checks)

    def test_tiers_and_names_choose(self):
        def chosen(*words):
            return cli.planned(cli.parser().parse_args(["test", *words]))
        self.assertEqual(self.names(chosen("disks", "--only", "61", "--long")), ["61_takeover_while_a_guest_writes"] * 20)
        self.assertEqual(self.names(chosen("--only", "61")), ["61_takeover_while_a_guest_writes"])
        self.assertFalse(chosen("lab").has("quick"))
        self.assertEqual({s.tier for group in chosen("--cloud", "openstack").scenarios.values() for s in group}, {"cloud"})
        for words, error in ((["--only", "nothing of it"], LookupError), (["nonsense"], ValueError), (["faults"], ValueError),
                             (["--all", "lab"], ValueError)):
            with self.assertRaises(error, msg=words):
                chosen(*words)

    def test_shards_have_everything_once_and_about_as_much_each(self):
        whole = plan.whole(plan.TIERS)
        parts = [plan.part_of(whole, plan.Shard(number, 3), durations.Durations()) for number in (1, 2, 3)]
        self.assertEqual(sorted(name for part in parts for name in self.names(part)), sorted(self.names(whole)))
        self.assertEqual([bool(part.checks) for part in parts], [True, False, False])
        self.assertEqual([len(part.quick_commands()) for part in parts], [3, 1, 1] if quick.has_nextest() else [3, 0, 0])
        sums = [sum(durations.Durations(measured=Path("/nonexistent")).of(name) for name in self.names(part)) for part in parts]
        self.assertLess(max(sums), 1.2 * min(sums))
        for text in ("0/3", "4/3", "3", "x/y"):
            with self.assertRaises(ValueError, msg=text):
                plan.Shard.read(text)

    def test_so_many_at_a_time_as_the_machine_bears(self):
        for cores, memory, expected in ((2, 24, (4, 1, 2)), (1, 4, (2, 1, 1)), (8, 16, (8, 2, 2)), (64, 512, (8, 2, 4))):
            with mock.patch.object(plan, "cores", lambda cores=cores: cores), \
                    mock.patch.object(plan, "memory_gigabytes", lambda memory=memory: memory):
                self.assertEqual(tuple(map(plan.jobs, ("lab", "cloud", "disks"))), expected, (cores, memory))

    def test_the_longest_begins_first_and_the_disks_keep_their_order(self):
        group = [made_up("00_itself"), made_up("01_short"), made_up("02_long")]
        order = [found.name for found in plan.in_order("lab", group, known({"02_long": 99.0}))]
        self.assertEqual(order, ["00_itself", "02_long", "01_short"])
        self.assertEqual(plan.in_order("disks", group, known()), group)


class Estimates(unittest.TestCase):
    def test_what_this_machine_measured_is_believed_and_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            recorded, measured = Path(folder, "recorded"), Path(folder, "measured")
            recorded.write_text('{"a": 5, "b": 7}', encoding="utf-8")
            here = durations.Durations(recorded, measured)
            here.record("b", 3.04)
            self.assertEqual((here.of("a"), here.of("b"), here.of("c")), (5, 3.04, durations.UNKNOWN))
            self.assertEqual(durations.Durations(recorded, measured).of("b"), 3.0)
            measured.write_text("{", encoding="utf-8")
            self.assertEqual(durations.Durations(recorded, measured).of("b"), 7)
            durations.Durations(recorded, Path("/nonexistent/x")).record("b", 1.0)

    def test_what_runs_beside_each_other_is_reckoned_so(self):
        here = durations.Durations(Path("/nonexistent"), Path("/nonexistent"))
        here.seconds = {"a": 10.0, "b": 4.0, "c": 5.0}
        self.assertEqual(here.all_of(["a", "b", "c"], 2), 10.0)
        self.assertEqual(here.all_of(["a", "b", "c"], 1), 19.0)
        self.assertEqual(here.all_of([], 2), 0.0)

    def test_every_recorded_name_is_of_a_part_that_there_is(self):
        names = {found.name for found in scenario.discover()} | {part.name for part in check.checks()}
        names |= {command.name for command in quick.commands()}
        recorded = json.loads(durations.RECORDED.read_text(encoding="utf-8"))
        self.assertEqual([name for name in recorded if name not in names and not name.startswith("cold: ")], [])


class BringUps(unittest.TestCase):
    def ends(self, *runs):
        with mock.patch.object(runner, "_run_in_a_lab", side_effect=runs) as ran:
            return runner.run_one(made_up("01_a")), ran.call_count

    def test_a_lab_that_does_not_come_up_is_brought_up_again_and_said(self):
        ended, count = self.ends((runner.NOT_UP, "not within 20 s: Consul has a leader\n", None, ()), (0, "", None, ("its agent, again",)))
        self.assertEqual((ended.passed, count), (True, 2))
        self.assertRegex(ended.again[0], r"brought up again.*load [\d.]+\): not within 20 s: Consul has a leader")
        self.assertEqual(ended.again[1], "its agent, again")

    def test_one_that_never_comes_up_is_a_failure(self):
        ended, count = self.ends(*[(runner.NOT_UP, "no leader", Path("/logs"), ())] * runner.BRING_UPS)
        self.assertEqual((ended.passed, ended.logs, count), (False, Path("/logs"), runner.BRING_UPS))

    def test_a_scenario_that_fails_is_never_run_again(self):
        ended, count = self.ends((1, "AssertionError: two guests", Path("/logs"), ()))
        self.assertEqual((ended.passed, count, ended.again), (False, 1, ()))

    def test_only_what_comes_before_the_product_counts_as_not_up(self):
        lab = mock.Mock(spec=cluster.Lab, shape=mock.Mock(product=True, observed=True))
        lab._parts_up = mock.Mock(side_effect=wait.Timeout("no leader"))
        with self.assertRaises(cluster.NotUp):
            cluster.Lab.up(lab)
        lab._parts_up = mock.Mock()
        lab.wait_observed = mock.Mock(side_effect=wait.Timeout("nobody observes"))
        with self.assertRaises(wait.Timeout) as raised:
            cluster.Lab.up(lab)
        self.assertNotIsInstance(raised.exception, cluster.NotUp)

    def test_an_agent_says_once_that_it_gave_up(self):
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder, "consul.log")
            self.assertEqual(consul.gave_up(log), (None, 0))
            log.write_text("==> Starting\n==> Error starting agent: timeout starting HTTP ser", encoding="utf-8")
            reason, offset = consul.gave_up(log)
            self.assertIsNone(reason)
            log.write_text("==> Starting\n==> Error starting agent: timeout starting HTTP servers\n", encoding="utf-8")
            reason, offset = consul.gave_up(log, offset)
            self.assertEqual(reason, "timeout starting HTTP servers")
            self.assertEqual(consul.gave_up(log, offset), (None, offset))

    def agent(self, folder, dies):
        """A machine whose agent gives up that often, and passes then; returns how often it was started again."""
        machine = mock.Mock(folder=Path(folder), processes=lambda word: [])
        machine.name = "ha1"
        log = Path(folder, "log", "consul.log")
        log.parent.mkdir()

        def gives_up(*_):
            with log.open("a", encoding="utf-8") as file:
                file.write("==> Error starting agent: timeout starting HTTP servers\n")
        machine.start = mock.Mock(side_effect=lambda _: gives_up() if machine.start.call_count < dies else None)
        gives_up()
        lab = mock.Mock(state=folder, consul=mock.Mock(
            serf_health=lambda _: "passing" if machine.start.call_count >= dies else "critical"))
        until = wait.until
        with mock.patch.object(wait, "until", lambda what, condition, timeout: until(what, condition, 0.5, 0.01)):
            cluster.Lab._wait_for_first_agent(lab, machine)
        return machine.start.call_count, [event["what"] for event in cluster.events.read(folder, cluster.AGAIN)]

    def test_an_agent_that_gave_up_is_started_again_while_the_lab_comes_up(self):
        with tempfile.TemporaryDirectory() as folder:
            starts, said = self.agent(folder, 2)
        self.assertEqual(starts, 2)
        self.assertEqual(said, ["Consul's agent of ha1 had ended with 'timeout starting HTTP servers': started again"] * 2)

    def test_but_not_for_ever(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaisesRegex(wait.Timeout, "serfHealth of ha1"):
            self.agent(folder, cluster.AGENT_RESTARTS + 1)


if __name__ == "__main__":
    unittest.main()
