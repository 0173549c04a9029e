"""A cloud on a free port, and a client of a few lines, for the tests here."""

import http.client
import json
import time
import unittest

from simcloud.httpd import Cloud

SEED = {"hosts": ["c1", "c2"], "ha_nodes": ["ha1"], "evacuate_seconds": 0.1, "service_down_seconds": 0.2,
        "heartbeats": "auto", "max_limit": 4,
        "guests": [{"name": "g%d" % n, "host": "c1"} for n in range(5)] + [{"name": "other", "host": "c2"}]}


class CloudCase(unittest.TestCase):
    seed = SEED

    def setUp(self):
        self.cloud = Cloud(("127.0.0.1", 0), self.seed).start()
        self.addCleanup(self.cloud.stop)
        self.port = self.cloud.server.server_address[1]
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        self.addCleanup(self.connection.close)
        self.token = None

    def ask(self, method, path, body=None, version=None, **headers):
        if version:
            headers["OpenStack-API-Version"] = "compute " + version
        if self.token:
            headers["X-Auth-Token"] = self.token
        self.connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = self.connection.getresponse()
        raw = answer.read()
        self.headers = answer.headers
        return answer.status, json.loads(raw) if raw else None

    def nova(self, method, path, body=None, version="2.90"):
        return self.ask(method, "/compute/v2.1" + path, body, version)

    def sim(self, path, body):
        status, answer = self.ask("POST", "/_sim/" + path, body)
        self.assertEqual(status, 200, answer)

    def state(self):
        return self.ask("GET", "/_sim/state")[1]

    def log_in(self, password="secret"):
        status, body = self.ask("POST", "/v3/auth/tokens", {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": password}}},
            "scope": {"project": {"name": "admin", "domain": {"id": "default"}}}}})
        if status == 201:
            self.token = self.headers["X-Subject-Token"]
        return status, body

    def guest(self, name):
        return next(g for g in self.state()["guests"] if g["name"] == name)

    def service(self, host):
        rows = self.nova("GET", "/os-services?binary=nova-compute&host=" + host)[1]["services"]
        self.assertEqual(len(rows), 1)
        return rows[0]

    def force_down(self, host, value=True):
        return self.nova("PUT", "/os-services/" + self.service(host)["id"], {"forced_down": value})

    def die(self, host):
        self.sim("hosts", {"host": host, "alive": False})
        self.assertEqual(self.force_down(host)[0], 200)

    def evacuate(self, name, version="2.94", **body):
        return self.nova("POST", "/servers/%s/action" % self.guest(name)["id"], {"evacuate": body}, version)

    def until(self, condition, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            self.assertLess(time.monotonic(), end, "did not come true: %s" % self.state())
            time.sleep(0.01)
