"""Who may ask, at which version, and how answers look and are paged."""

import http.client
import time
import unittest

from .cloud import SEED, CloudCase


class Tokens(CloudCase):
    def test_a_password_gives_a_token_and_a_catalog(self):
        status, body = self.log_in()
        self.assertEqual(status, 201)
        compute = next(s for s in body["token"]["catalog"] if s["type"] == "compute")
        self.assertEqual({e["interface"] for e in compute["endpoints"]}, {"public", "internal", "admin"})
        self.assertEqual({e["region_id"] for e in compute["endpoints"]}, {"RegionOne"})

    def test_a_wrong_password_and_no_token_are_401(self):
        self.assertEqual(self.log_in("wrong")[0], 401)
        self.assertEqual(self.nova("GET", "/os-services")[0], 401)

    def test_an_application_credential_may_not_name_a_scope(self):
        body = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": {
            "id": "lab-credential", "secret": "lab-secret"}}}}
        self.assertEqual(self.ask("POST", "/v3/auth/tokens", body)[0], 201)
        body["auth"]["scope"] = {"project": {"name": "admin", "domain": {"id": "default"}}}
        self.assertEqual(self.ask("POST", "/v3/auth/tokens", body)[0], 401)

    def test_expired_tokens_are_401(self):
        self.log_in()
        self.sim("faults", {"expire_tokens": True})
        self.assertEqual(self.nova("GET", "/os-services")[0], 401)


class Versions(CloudCase):
    def setUp(self):
        super().setUp()
        self.log_in()

    def test_the_version_document_names_the_range(self):
        status, body = self.ask("GET", "/compute/v2.1/")
        self.assertEqual((status, body["version"]["version"], body["version"]["min_version"]), (200, "2.104", "2.1"))

    def test_a_version_above_the_maximum_is_406_and_nonsense_is_400(self):
        self.assertEqual(self.nova("GET", "/os-services", version="2.105")[0], 406)
        self.assertEqual(self.nova("GET", "/os-services", version="2.x")[0], 400)
        self.assertEqual(self.ask("GET", "/compute/v2.1/os-services", **{"X-OpenStack-Nova-API-Version": "2.999"})[0],
                         406)

    def test_every_answer_has_a_request_id_and_names_its_version(self):
        self.nova("GET", "/os-services", version="2.60")
        self.assertTrue(self.headers["X-Openstack-Request-Id"].startswith("req-"))
        self.assertEqual(self.headers["OpenStack-API-Version"], "compute 2.60")
        self.nova("GET", "/nothing")
        self.assertTrue(self.headers["X-Openstack-Request-Id"].startswith("req-"))


class Lists(CloudCase):
    def setUp(self):
        super().setUp()
        self.log_in()

    def test_host_is_an_exact_filter_and_pages_end_with_a_link(self):
        status, body = self.nova("GET", "/servers/detail?host=c1&all_tenants=1")
        self.assertEqual((status, len(body["servers"])), (200, 4))
        link = body["servers_links"][0]["href"].split("/compute/v2.1")[1]
        self.assertEqual(len(self.nova("GET", link)[1]["servers"]), 1)
        self.assertNotIn("servers_links", self.nova("GET", link)[1])
        self.assertEqual(self.nova("GET", "/servers/detail?host=c&all_tenants=1")[1]["servers"], [])
        self.assertEqual(self.nova("GET", "/servers/detail?host=c1")[1]["servers"], [])

    def test_a_down_cell_is_silent_when_filtered_and_partial_when_not(self):
        self.sim("hosts", {"host": "c2", "cell_down": True})
        self.assertEqual(self.nova("GET", "/servers/detail?host=c2&all_tenants=1")[1]["servers"], [])
        self.sim("settings", {"evacuate_seconds": 1})
        self.cloud.world.max_limit = 1000
        rows = self.nova("GET", "/servers/detail?all_tenants=1")[1]["servers"]
        self.assertEqual([r["status"] for r in rows if "OS-EXT-STS:vm_state" not in r], ["UNKNOWN"])
        self.assertEqual(self.service("c2"), {"binary": "nova-compute", "host": "c2", "status": "UNKNOWN"})
        ref = self.guest("other")["id"]
        self.assertEqual(self.nova("GET", "/servers/" + ref)[1]["server"]["status"], "UNKNOWN")
        self.assertEqual(self.nova("GET", "/servers/" + ref, version="2.60")[0], 500)

    def test_a_deleted_server_is_404(self):
        ref = self.guest("g0")["id"]
        self.assertEqual(self.nova("GET", "/servers/" + ref)[0], 200)
        self.sim("guests", {"name": "g0", "deleted": True})
        self.assertEqual(self.nova("GET", "/servers/" + ref)[0], 404)

    def test_lock_and_reason_appear_with_their_versions(self):
        self.sim("guests", {"name": "g0", "locked": True, "locked_reason": "mine"})
        ref = self.guest("g0")["id"]
        server = self.nova("GET", "/servers/" + ref, version="2.72")[1]["server"]
        self.assertEqual((server["locked"], "locked_reason" in server), (True, False))
        self.assertEqual(self.nova("GET", "/servers/" + ref, version="2.73")[1]["server"]["locked_reason"], "mine")


class Heartbeats(CloudCase):
    seed = dict(SEED, heartbeats="manual")

    def test_a_silent_host_is_down_and_a_forced_down_one_is_down_while_it_reports(self):
        self.log_in()
        self.sim("heartbeat", {"host": "c1"})
        self.assertEqual(self.service("c1")["state"], "up")
        self.until(lambda: self.service("c1")["state"] == "down")
        self.force_down("c1")
        self.sim("heartbeat", {"host": "c1"})
        self.assertEqual(self.service("c1")["state"], "down")
        self.force_down("c1", False)
        self.assertEqual(self.service("c1")["state"], "up")


class FaultsOnDemand(CloudCase):
    def setUp(self):
        super().setUp()
        self.log_in()

    def test_a_status_hits_as_often_as_it_says_and_only_its_route(self):
        self.sim("faults", {"method": "GET", "path": "/os-services", "action": "status", "status": 503, "count": 2})
        self.assertEqual(self.nova("GET", "/servers/detail")[0], 200)
        self.assertEqual([self.nova("GET", "/os-services")[0] for _ in range(3)], [503, 503, 200])

    def test_a_lost_answer_may_have_had_its_effect(self):
        ref = self.service("c1")["id"]
        self.sim("faults", {"method": "PUT", "action": "status", "status": 500, "effect": True})
        self.assertEqual(self.nova("PUT", "/os-services/" + ref, {"forced_down": True})[0], 500)
        self.assertTrue(self.service("c1")["forced_down"])

    def test_a_cut_answer_breaks_off_in_the_middle(self):
        self.sim("faults", {"path": "/os-services", "action": "cut"})
        with self.assertRaises(http.client.IncompleteRead):
            self.nova("GET", "/os-services")
        self.connection.close()
        self.assertEqual(self.nova("GET", "/os-services")[0], 200)

    def test_drop_and_hang_give_no_answer(self):
        for fault in ({"action": "drop"}, {"action": "hang", "seconds": 0.1}):
            self.sim("faults", fault)
            began = time.monotonic()
            with self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError)):
                self.nova("GET", "/os-services")
            self.assertGreaterEqual(time.monotonic() - began, fault.get("seconds", 0))
            self.connection.close()

    def test_a_huge_answer_has_the_size_that_was_asked_for(self):
        self.sim("faults", {"path": "/os-services", "action": "huge", "bytes": 3000000})
        self.assertEqual(len(self.nova("GET", "/os-services")[1]["padding"]) + 14, 3000000)


if __name__ == "__main__":
    unittest.main()
