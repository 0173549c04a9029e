"""What Nova says to an evacuate, what comes of it, and what the simulated cloud notices."""

import time
import unittest

from .cloud import SEED, CloudCase


class Evacuations(CloudCase):
    def setUp(self):
        super().setUp()
        self.log_in()

    def migration(self, name):
        return [m for m in self.state()["migrations"] if m["guest"] == name][-1]

    def test_the_body_is_what_the_version_says(self):
        self.die("c1")
        shared = {"onSharedStorage": True, "host": "ha1"}
        for version, body, good in (
                ("2.13", {"host": "ha1"}, False), ("2.13", shared, True), ("2.14", shared, False),
                ("2.28", {"host": "ha1"}, True), ("2.28", {"host": "ha1", "force": True}, False),
                ("2.29", {"host": "ha1", "force": True}, True), ("2.68", {"host": "ha1", "force": True}, False),
                ("2.68", {}, True), ("2.13", {"onSharedStorage": 1}, False), ("2.94", {"surprise": 1}, False)):
            with self.subTest(version=version, body=body):
                self.cloud.world.migrations.clear()
                self.cloud.world.guest("g0").host = "c1"
                self.assertEqual(self.evacuate("g0", version, **body)[0], 200 if good else 400)

    def test_refusals_of_the_api(self):
        self.assertEqual(self.evacuate("g0"), (400, {"badRequest": {
            "code": 400, "message": "Compute service of c1 is still in use."}}))
        self.die("c1")
        self.assertEqual(self.evacuate("g0", host="nowhere")[0], 404)
        self.assertEqual(self.evacuate("g0", host="c1")[0], 400)
        self.sim("guests", {"name": "g1", "vm_state": "paused"})
        self.assertEqual(self.evacuate("g1")[0], 409)
        self.sim("guests", {"name": "g2", "task_state": "powering-off"})
        self.assertEqual(self.evacuate("g2")[0], 200)

    def test_it_goes_accepted_pre_migrating_moved_done(self):
        self.sim("settings", {"evacuate_seconds": 0.5})
        self.die("c1")
        self.assertEqual(self.evacuate("g0", "2.94", host="ha1"), (200, None))
        self.assertEqual((self.migration("g0")["status"], self.guest("g0")["task_state"]), ("accepted", "rebuilding"))
        self.until(lambda: self.migration("g0")["status"] == "pre-migrating")
        self.until(lambda: self.guest("g0")["host"] == "ha1")
        self.assertEqual(self.migration("g0")["status"], "pre-migrating")
        self.until(lambda: self.migration("g0")["status"] == "done")
        guest = self.guest("g0")
        self.assertEqual((guest["vm_state"], guest["task_state"], guest["running_on"]), ("active", None, ["ha1"]))
        self.assertEqual([h["host"] for h in guest["history"]], ["c1", "ha1"])
        self.assertEqual(self.state()["violations"], [])
        actions = self.nova("GET", "/servers/%s/os-instance-actions" % guest["id"])[1]["instanceActions"]
        self.assertEqual(actions[0]["request_id"], self.migration("g0")["request_id"])

    def test_power_state_is_kept_below_2_95_and_stopped_from_there(self):
        self.die("c1")
        self.sim("guests", {"name": "g1", "vm_state": "stopped"})
        for name, version, expected in (("g0", "2.95", "stopped"), ("g1", "2.94", "stopped"), ("g2", "2.94", "active")):
            self.assertEqual(self.evacuate(name, version)[0], 200)
            self.until(lambda name=name: self.migration(name)["status"] == "done")
            self.assertEqual(self.guest(name)["vm_state"], expected)

    def test_the_interlock_of_2_13_and_the_data_loss_of_2_94(self):
        self.die("c1")
        self.sim("guests", [{"name": "g0", "disk_on": []}, {"name": "g1", "disk_on": []},
                            {"name": "g2", "disk_on": ["ha1"]}])
        self.evacuate("g0", "2.13", host="ha1", onSharedStorage=True)
        self.until(lambda: self.migration("g0")["status"] == "failed")
        self.assertEqual((self.guest("g0")["vm_state"], self.guest("g0")["host"], self.guest("g0")["disk"]),
                         ("error", "c1", "original"))
        self.evacuate("g1", "2.94", host="ha1")
        self.until(lambda: self.migration("g1")["status"] == "done")
        self.assertEqual(self.guest("g1")["disk"], "rebuilt from image")
        self.evacuate("g2", "2.13", host="ha1", onSharedStorage=True)
        self.until(lambda: self.migration("g2")["status"] == "done")
        self.assertEqual([v["kind"] for v in self.state()["violations"]], ["disk_rebuilt_from_image"])

    def test_fates(self):
        self.die("c1")
        self.sim("guests", [{"name": "g0", "fate": "failed"}, {"name": "g1", "fate": "no-valid-host"},
                            {"name": "g2", "fate": "rollback"}, {"name": "g3", "fate": "stuck"}])
        for name in ("g0", "g1", "g2", "g3"):
            self.assertEqual(self.evacuate(name)[0], 200)
        self.until(lambda: [self.migration(n)["status"] for n in ("g0", "g1", "g2")] == ["failed", "error", "failed"])
        self.assertEqual([self.guest(n)["vm_state"] for n in ("g0", "g1", "g2")], ["error", "error", "active"])
        time.sleep(0.2)
        self.assertIn(self.migration("g3")["status"], ("accepted", "pre-migrating"))

    def test_a_disabled_target_is_taken_below_2_29_and_refused_by_the_scheduler_later(self):
        self.die("c1")
        self.nova("PUT", "/os-services/" + self.service("ha1")["id"], {"status": "disabled", "disabled_reason": "spare"})
        self.evacuate("g0", "2.28", host="ha1")
        self.evacuate("g1", "2.94", host="ha1")
        self.until(lambda: (self.migration("g0")["status"], self.migration("g1")["status"]) == ("done", "error"))

    def test_a_second_evacuate_is_accepted_and_noticed(self):
        self.die("c1")
        self.assertEqual(self.evacuate("g0", "2.28", host="ha1")[0], 200)
        self.assertEqual(self.evacuate("g0", "2.28", host="c2")[0], 200)
        self.until(lambda: {"second_evacuate", "two_hosts"} <= {v["kind"] for v in self.state()["violations"]})

    def test_migrations_are_filtered_and_paged(self):
        self.die("c1")
        for n in range(5):
            self.evacuate("g%d" % n)
        status, body = self.nova("GET", "/os-migrations?source_compute=c1&migration_type=evacuation")
        self.assertEqual((status, len(body["migrations"])), (200, 4))
        link = body["migrations_links"][0]["href"].split("/compute/v2.1")[1]
        self.assertEqual(len(self.nova("GET", link)[1]["migrations"]), 1)
        ref = self.guest("g0")["id"]
        rows = self.nova("GET", "/os-migrations?instance_uuid=" + ref)[1]["migrations"]
        self.assertEqual([r["instance_uuid"] for r in rows], [ref])
        self.assertEqual(len(self.nova("GET", "/os-migrations", version="2.58")[1]["migrations"]), 5)
        self.assertEqual(self.nova("GET", "/os-migrations?host=c2&migration_type=live")[1]["migrations"], [])

    def test_forcing_up_waits_until_the_source_has_settled_its_evacuations(self):
        self.die("c1")
        self.evacuate("g0")
        self.until(lambda: self.migration("g0")["status"] == "done")
        self.assertEqual(self.force_down("c1", False)[0], 400)
        self.sim("hosts", {"host": "c1", "alive": True})
        self.assertEqual(self.migration("g0")["status"], "completed")
        self.assertEqual(self.force_down("c1", False)[0], 200)

    def test_every_post_is_on_record(self):
        self.evacuate("g0")
        self.die("c1")
        self.evacuate("g0", "2.94", host="ha1")
        posts = self.state()["evacuate_posts"]
        self.assertEqual([(p["guest"], p["status"], p["microversion"]) for p in posts],
                         [("g0", 400, "2.94"), ("g0", 200, "2.94")])
        self.assertEqual(posts[1]["body"], {"evacuate": {"host": "ha1"}})


class LivingSource(CloudCase):
    seed = dict(SEED, heartbeats="manual", service_down_seconds=60)

    def test_a_source_that_still_reports_is_two_hosts_and_a_new_boot_is_not(self):
        self.log_in()
        self.sim("heartbeat", {"host": "c1", "boot": "a"})
        self.force_down("c1")
        self.assertEqual(self.evacuate("g0", host="ha1")[0], 200)
        self.until(lambda: self.state()["migrations"][-1]["status"] == "done")
        self.assertEqual(self.state()["violations"], [])
        self.sim("heartbeat", {"host": "c1", "boot": "b"})
        self.assertEqual(self.state()["violations"], [])
        self.assertEqual(self.guest("g0")["running_on"], ["ha1"])
        self.assertEqual(self.evacuate("g1", host="ha1")[0], 200)
        self.until(lambda: self.state()["migrations"][-1]["status"] == "done")
        self.sim("guests", {"name": "g1"})
        self.cloud.world.guest("g1").running_on.add("c1")
        self.sim("heartbeat", {"host": "c1", "boot": "b"})
        self.assertEqual([(v["kind"], v["guest"]) for v in self.state()["violations"]], [("two_hosts", "g1")])


if __name__ == "__main__":
    unittest.main()
