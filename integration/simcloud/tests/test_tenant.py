"""What a member of a project may do, and what nobody lets him."""

import unittest

from .cloud import SEED, CloudCase

MEMBER = {"name": "mallory", "password": "his-own", "project": "his", "role": "member"}
GUESTS = [{"name": "mine", "host": "c1", "project": "his"}, {"name": "theirs", "host": "c1"}]


class Tenant(CloudCase):
    seed = {**SEED, "guests": GUESTS, "users": [{"name": "admin", "password": "secret", "project": "admin"}, MEMBER]}

    def setUp(self):
        super().setUp()
        domain = {"id": "default"}
        status, _ = self.ask("POST", "/v3/auth/tokens", {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "mallory", "domain": domain, "password": "his-own"}}},
            "scope": {"project": {"name": "his", "domain": domain}}}})
        self.assertEqual(status, 201)
        self.token = self.headers["X-Subject-Token"]

    def test_he_sees_and_marks_his_own_guests_and_no_others(self):
        rows = self.nova("GET", "/servers/detail?all_tenants=1")[1]["servers"]
        self.assertEqual([row["name"] for row in rows], ["mine"])
        self.assertNotIn("OS-EXT-SRV-ATTR:host", rows[0])
        self.assertEqual(self.nova("POST", "/servers/mine/metadata", {"metadata": {"a": "\x1b[2J"}})[0], 200)
        self.assertEqual(self.nova("POST", "/servers/theirs/metadata", {"metadata": {"a": "b"}})[0], 404)
        self.assertEqual(self.nova("PUT", "/servers/mine", {"server": {"name": "x\x1b[2J"}})[0], 400)
        self.assertEqual(self.nova("PUT", "/servers/mine", {"server": {"name": "x\u202ey"}})[0], 400)
        self.assertEqual(self.nova("PUT", "/servers/mine", {"server": {"name": "y"}})[1]["server"]["name"], "y")

    def test_whatever_is_an_administrators_is_refused(self):
        evacuate = {"evacuate": {}}
        for method, path, body in [("GET", "/os-services", None), ("GET", "/os-hypervisors/detail", None), ("GET", "/os-migrations", None),
                                   ("POST", "/servers/mine/action", evacuate), ("PUT", "/os-services/x", {"forced_down": True}),
                                   ("POST", "/servers/mine/action", {"os-resetState": {"state": "error"}})]:
            self.assertEqual(self.nova(method, path, body)[0], 403, path)
        self.assertEqual(self.state()["evacuate_posts"], [])

    def test_a_rebuild_ends_where_the_host_lives_and_never_where_it_does_not(self):
        rebuild = {"rebuild": {"imageRef": "x"}}
        self.assertEqual(self.nova("POST", "/servers/mine/action", rebuild)[0], 202)
        self.assertEqual(self.nova("POST", "/servers/mine/action", rebuild)[0], 409)
        self.until(lambda: self.guest("mine")["task_state"] is None)
        self.sim("hosts", {"host": "c1", "alive": False})
        self.until(lambda: not self.state()["hosts"]["c1"]["up"])
        self.assertEqual(self.nova("POST", "/servers/mine/action", rebuild)[0], 202)
        with self.assertRaises(AssertionError):
            self.until(lambda: self.guest("mine")["task_state"] is None, 1.5)


if __name__ == "__main__":
    unittest.main()
