"""A secret that is somewhere where it does not belong is found, and one that is where it belongs is not."""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from novalab import canaries, canary_watch, hostile_bmc, words
from novalab.canaries import Canaries, Leak, Secret

WORD = words.Words("beef", True).word("the test", "usual")
NAME = "the password of a test"


def entry(key, value):
    return {"Key": key, "Value": base64.b64encode(value.encode()).decode()}


class Forms(unittest.TestCase):
    def test_a_word_is_found_as_it_is_and_in_base64_wherever_it_stands(self):
        looked = canary_watch.Words({NAME: WORD, "another": "CyOther0123456789"})
        self.assertEqual(looked.within(f"x={WORD};".encode()), [NAME])
        for before in range(7):
            for after in range(4):
                text = base64.b64encode(b"u" * before + WORD.encode() + b":" * after)
                self.assertEqual(looked.within(b"Authorization: Basic " + text), [NAME], (before, after))

    def test_what_is_almost_the_word_is_not_it(self):
        looked = canary_watch.Words({NAME: WORD})
        self.assertEqual(looked.within(WORD[:-1].encode() + b"!" + WORD.encode()[::-1]), [])
        self.assertEqual(looked.within(base64.b64encode(WORD[1:].encode())), [])

    def test_a_finding_is_told_without_the_word(self):
        shown = canary_watch.Words({NAME: WORD}).hidden(f"curl -u a:{WORD}".encode())
        self.assertEqual(shown, f"curl -u a:<{NAME}>".encode())

    def test_each_run_and_each_thing_has_a_word_of_its_own_that_any_bmc_takes(self):
        there = {words.Words(run, True).word(whose, "usual") for run in ("beef", "cafe") for whose in ("a", "b")}
        self.assertEqual((len(there), {len(word) for word in there}), (4, {16}))
        self.assertEqual(words.Words("beef", False).word("a", "usual"), "usual")


class Watching(unittest.TestCase):
    """The watcher itself, on processes of its own; with the right to it the kernel tells of them, and without it looks often."""

    def watch(self, *commands, live=0.3):
        watcher = subprocess.Popen([sys.executable, "-I", "-S", str(Path(canary_watch.__file__)), "nvlab-none-"],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.addCleanup(watcher.stdout.close)
        watcher.stdin.write(json.dumps({NAME: WORD}) + "\n")
        watcher.stdin.flush()
        self.assertTrue(json.loads(watcher.stdout.readline())["watching"])
        for argv, env in commands:
            subprocess.run(argv, env={"PATH": os.environ["PATH"], **env}, check=True)
        time.sleep(live)
        self.assertNotIn(WORD, Path(f"/proc/{watcher.pid}/cmdline").read_text(encoding="utf-8"))
        watcher.stdin.close()
        told = [json.loads(line) for line in watcher.stdout]
        self.assertEqual(watcher.wait(10), 0)
        return [line for line in told if line.get("word")]

    def test_a_planted_leak_is_found_in_arguments_and_in_the_environment(self):
        told = self.watch((["sleep", "0.2"], {"PASSWORD": WORD}), (["sh", "-c", f": {WORD}; sleep 0.2"], {}),
                          (["sleep", "0.2"], {"BASIC": base64.b64encode(f"admin:{WORD}".encode()).decode()}))
        self.assertEqual({(line["in"], line["word"]) for line in told}, {("environ", NAME), ("cmdline", NAME)})
        self.assertEqual(len({line["pid"] for line in told if line["in"] == "environ"}), 2)
        self.assertFalse(any(WORD in json.dumps(line) for line in told), "what is told has the word in it")

    def test_what_gets_its_password_on_stdin_leaks_nothing(self):
        done = ["sh", "-c", "read word; sleep 0.2"]
        child = mock.Mock(side_effect=lambda argv, env, check: subprocess.Popen(argv, stdin=subprocess.PIPE, env=env).communicate(WORD.encode()))
        with mock.patch.object(subprocess, "run", child):
            self.assertEqual(self.watch((done, {})), [])


class Searching(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name)
        for name in ("log", "cloud", "machines/ha1/log", "machines/ha1/disk/etc/nova-ha/tokens", "machines/ha1/disk/var/log/nova-ha", "run"):
            (self.top / name).mkdir(parents=True)
        (self.top / "lab.json").write_text("{}", encoding="utf-8")
        machine = SimpleNamespace(name="ha1", folder=self.top / "machines/ha1", path=lambda path: self.top / path.lstrip("/"))
        self.asked = {"/v1/kv/?recurse": [], "/v1/health/state/any": []}
        consul = SimpleNamespace(ask=lambda path: self.asked[path])
        lab = SimpleNamespace(shape=SimpleNamespace(canaries=True), machines={"ha1": machine}, consul=consul, state=self.top, run_name="beef")
        secrets = {NAME: Secret(WORD, r"compute_nodes/compute1/config/(bmc/password|fence)")}
        with mock.patch.object(canaries, "secrets_of", lambda _: secrets), \
                mock.patch.object(canaries, "PLANTED", NAME):
            self.canaries = Canaries(lab)
        self.canaries.cores = list

    def write(self, path, text):
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    def test_a_key_that_is_the_secrets_own_is_not_a_leak_and_every_other_is(self):
        own = "ha_cluster/compute_nodes/compute1/config/"
        self.asked["/v1/kv/?recurse"] = [entry(own + "bmc/password", WORD), entry(own + "fence", f'{{"password":"{WORD}"}}')]
        self.assertEqual(self.canaries.in_consul(), [])
        for key in (own + "bmc/user", "ha_cluster/compute_nodes/compute2/config/bmc/password", "ha_cluster/incidents/compute1@0/journal/1",
                    f"x/{own}fence", "nova-ha/elsewhere"):
            self.asked["/v1/kv/?recurse"] = [entry(key, f"said {WORD}")]
            self.assertEqual(self.canaries.in_consul(), [Leak(NAME, f"the key {key}")])

    def test_what_a_check_says_is_searched(self):
        self.asked["/v1/health/state/any"] = [{"CheckID": "nova-ha-probe:compute1", "Node": "ha1", "Output": f"tried {WORD}"}]
        self.assertEqual(len(self.canaries.in_consul()), 1)

    def test_files_that_are_given_a_secret_keep_it_and_no_others(self):
        disk = "machines/ha1/disk"
        for path in ("etc/nova-ha/tokens/recover", "etc/nova-ha/bmc_password-compute1", "etc/nova-ha/login_key", "etc/openstack/clouds.yaml",
                     "var/lib/consul/acl-tokens.json"):
            self.write(f"{disk}/{path}", WORD)
        self.assertEqual(self.canaries.in_files(), [])
        planted = [f"{disk}/var/log/nova-ha/recover.log", f"{disk}/etc/nova-ha/recover.env", f"{disk}/etc/consul.d/nova-ha.json",
                   f"{disk}/var/lib/nova-ha/state", "run/nova-ha/seen/compute1", "machines/ha1/log/consul.log", "log/bmc-compute1.log",
                   "cloud/requests.jsonl"]
        for path in planted:
            self.write(path, f"a line\nwith {WORD}\n")
        self.write("run/linked-to", "nothing")
        (self.top / "run/link").symlink_to(self.top / f"{disk}/etc/nova-ha/login_key")
        self.assertEqual(len(self.canaries.in_files()), len(planted))

    def test_a_name_of_a_file_is_searched_too(self):
        self.write(f"run/nova-ha/{WORD}", "")
        self.assertEqual(len(self.canaries.in_files()), 1)

    def test_what_a_program_said_is_searched_and_must_not_move_a_terminal(self):
        said = SimpleNamespace(argv=["nova-ha", "status"], out=f"fence {WORD}", err="")
        self.canaries.heard = [said]
        self.assertEqual(len(self.canaries.in_answers()), 1)
        self.assertEqual(self.canaries.obeyed(), [])
        for bad in ("\x1b[2J", "\x07", "\x9b31m", "\u202e", "\u200b", "a\rb"):
            self.canaries.heard = [SimpleNamespace(argv=["nova-ha", "status"], out=f"host {bad}", err="")]
            self.assertEqual(len(self.canaries.obeyed()), 1, repr(bad))

    def test_a_core_is_one_by_its_content(self):
        self.write("run/core", "no core")
        self.assertFalse(canaries.is_core(self.top / "run/core"))
        (self.top / "run/core.12").write_bytes(b"\x7fELF rest")
        self.assertTrue(canaries.is_core(self.top / "run/core.12"))
        self.assertFalse(canaries.is_core(self.top / "run/core-dumps"))


class HostileBmc(unittest.TestCase):
    def test_whoever_follows_its_redirect_is_written_down(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "mode").write_text("redirect", encoding="utf-8")
            settings = {"address": "127.0.0.1", "elsewhere": 0, "uuid": "own", "other_uuid": "another"}
            servers = [hostile_bmc.Server(("127.0.0.1", 0), hostile_bmc.Handler) for _ in range(2)]
            settings["elsewhere"] = servers[1].server_address[1]
            for server in servers:
                server.settings, server.place, server.state, server.name = settings, folder, folder, "compute1"
                server.is_elsewhere = server is servers[1]
                threading.Thread(target=server.serve_forever, daemon=True).start()
                self.addCleanup(server.server_close)
                self.addCleanup(server.shutdown)
            with self.assertRaises(urllib.error.HTTPError):
                # It redirects, and there it redirects no more, and has nothing.
                urllib.request.urlopen(f"http://127.0.0.1:{servers[0].server_address[1]}/redfish/v1/", timeout=5)
            heard = [json.loads(line)["mode"] for line in Path(folder, "heard.jsonl").read_text(encoding="utf-8").splitlines()]
            self.assertEqual(heard, ["redirect", hostile_bmc.ELSEWHERE])

    def test_each_mode_lies_in_its_own_way(self):
        settings = {"uuid": "own", "other_uuid": "another"}
        said = {mode: hostile_bmc.system(settings, mode) for mode in hostile_bmc.MODES}
        self.assertEqual((said["on"]["PowerState"], said["off"]["PowerState"]), ("On", "Off"))
        self.assertEqual((said["other"]["UUID"], said["off"]["UUID"]), ("another", "own"))
        target = said["target"]["Actions"]["#ComputerSystem.Reset"]["target"]
        self.assertTrue(target.startswith("/redfish/v1/Systems/another/"), target)
        self.assertIn("\x1b", said["escapes"]["PowerState"])


if __name__ == "__main__":
    unittest.main()
