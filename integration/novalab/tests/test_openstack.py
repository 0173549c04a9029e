"""What is judged about the real cloud is judged rightly; none of it needs the cloud."""

import http.client
import http.server
import json
import tempfile
import threading
import unittest
from pathlib import Path
from unittest import mock

from novalab import product, scenario, wait
from novalab.cluster import Shape
from novalab.openstack import compute, places, truth
from novalab.openstack.cloud import OpenStack, seconds
from novalab.openstack.gate import Gate
from novalab.shape import shape_of


def ran(at, host, running, guest="g"):
    return {"event": "power", "at": at, "host": host, "guest": guest, "running": running}


def built(host, guest="g"):
    return {"event": "built", "at": 0, "host": host, "guest": guest, "serial": "s"}


def power(at, machine, event="off"):
    return {"event": event, "at": at, "machine": machine}


class Truth(unittest.TestCase):
    def test_a_guest_that_starts_elsewhere_before_its_host_lost_its_power_is_found(self):
        log = [ran(1, "a", True), ran(5, "b", True)]
        self.assertEqual(truth.two_hosts(log, [power(6, "a")]), [("g", ["a", "b"], 5)])
        self.assertEqual(truth.two_hosts(log, []), [("g", ["a", "b"], 5)])

    def test_a_guest_that_starts_elsewhere_after_the_cut_is_fine(self):
        log = [ran(1, "a", True), ran(5, "b", True)]
        for event in truth.ENDS:
            self.assertEqual(truth.two_hosts(log, [power(4, "a", event)]), [])
        self.assertEqual(truth.running_on(log, [power(4, "a")]), {"g": ["b"]})

    def test_another_machine_s_cut_ends_nothing(self):
        self.assertEqual(len(truth.two_hosts([ran(1, "a", True), ran(5, "b", True)], [power(4, "c")])), 1)

    def test_a_stop_ends_a_span_and_a_start_after_the_boot_begins_another(self):
        log = [ran(1, "a", True), ran(2, "a", False), ran(3, "b", True), ran(4, "b", False), ran(7, "a", True)]
        self.assertEqual(truth.two_hosts(log, []), [])
        self.assertEqual(truth.spans(log, [])["g"], [("a", 1, 2), ("b", 3, 4), ("a", 7, None)])

    def test_two_guests_on_two_hosts_are_not_one_on_two(self):
        self.assertEqual(truth.two_hosts([ran(1, "a", True), ran(1, "b", True, "other")], []), [])

    def test_a_disk_that_is_built_a_second_time_is_a_lost_one(self):
        self.assertEqual(truth.rebuilt([built("a"), built("b", "other")]), {})
        self.assertEqual(truth.rebuilt([built("a"), built("b")]), {"g": "b"})


class BringUp(unittest.TestCase):
    def test_no_guest_is_asked_for_before_conductor_and_scheduler_have_reported(self):
        for late in ("nova-conductor", "nova-scheduler"):
            with tempfile.TemporaryDirectory() as folder:
                cloud = OpenStack(folder, mock.Mock(), mock.Mock(), {})
                cloud.folder.mkdir()
                cloud.api, cloud.plane = mock.Mock(), mock.Mock(sql=lambda text, late=late: "0\n" if f"'{late}'" in text else "1\n")
                with mock.patch.multiple(cloud, seed=lambda: {"computes": [], "guests": []}, _reporting=set, _providers=lambda: 0,
                                         set_guests=mock.DEFAULT), mock.patch("novalab.openstack.catalog.ensure_flavor"):
                    with self.assertRaisesRegex(wait.Timeout, f"{late} listens"):
                        cloud.wait_ready(0.1)
                    cloud.set_guests.assert_not_called()


class Computes(unittest.TestCase):
    def machine(self, folder, name, has_disks=True):
        made = mock.Mock(folder=Path(folder, name), has_disks=has_disks)
        (made.folder / "log").mkdir(parents=True)
        return made

    def test_what_machines_with_their_own_kernels_log_is_one_log_in_the_order_of_time(self):
        with tempfile.TemporaryDirectory() as folder:
            machines = [self.machine(folder, "a"), self.machine(folder, "b"), self.machine(folder, "c", has_disks=False)]
            for machine, times in zip(machines, ((1, 5), (2, 4), (3, 3))):
                lines = [json.dumps({"at": at, "event": f"{machine.folder.name}{n}"}) + "\n" for n, at in enumerate(times)]
                compute.log(machine, folder).write_text("".join(lines), encoding="utf-8")
            found = [event["event"] for event in compute.read_logs(machines, folder)]
        self.assertEqual(found, ["a0", "b0", "c0", "c1", "b1", "a1"])

    def test_only_directories_of_guests_are_guests(self):
        ref = "05265d84-d762-4fee-a7b8-c51e12df13be"
        self.assertEqual(compute.guests_on(mock.Mock(names=lambda _: [".keep", "_base", "compute_nodes", ref, ref + ".bak"])), [ref])

    def test_real_nova_on_machines_with_kernels_has_its_guests_on_their_own_disks_and_room_for_itself(self):
        real, simulated = shape_of({"machines": "uml", "cloud": "openstack"}), shape_of({"machines": "uml"})
        self.assertEqual((real.instances, real.memory_mb > simulated.memory_mb), ("local", True))
        self.assertEqual(shape_of({"cloud": "openstack"}).instances, "shared")
        self.assertEqual(shape_of({"machines": "uml", "cloud": "openstack", "memory_mb": 512}).memory_mb, 512)


class Migrations(unittest.TestCase):
    row = {"id": 1, "uuid": "u", "instance_uuid": "i", "status": "done", "created_at": "2026-01-01T00:00:10.000000",
           "updated_at": None, "source_compute": "a", "dest_compute": "b"}

    def post(self, second, status=200):
        return {"id": "i", "at": f"2026-01-01T00:00:{second:09.6f}", "status": status, "request_id": "req-1"}

    def made(self, *posts):
        return OpenStack._migration(self.row, {"i": "vm"}, list(posts), [])

    def test_the_time_of_the_post_stands_for_nova_s_whole_second(self):
        self.assertEqual(self.made(self.post(10.7))["created_at"], "2026-01-01T00:00:10.700000")

    def test_a_post_that_nova_refused_made_no_record(self):
        self.assertEqual(self.made(self.post(10.1, 400))["created_at"], self.row["created_at"])

    def test_a_completed_record_was_over_when_its_target_had_the_guest(self):
        row = {**self.row, "status": "completed", "updated_at": "2026-01-01T00:10:00.000000"}
        begun = seconds(self.row["created_at"])
        log = [{"event": "kept", "guest": "i", "host": host, "at": begun + at} for host, at in (("a", 1), ("b", 2.5), ("b", 99))]
        self.assertEqual(OpenStack._migration(row, {}, [], log)["updated_at"], "2026-01-01T00:00:12.500000")
        self.assertEqual(OpenStack._migration({**row, "status": "done"}, {}, [], log)["updated_at"], row["updated_at"])

    def test_a_post_of_another_time_is_not_it(self):
        self.assertEqual(self.made(self.post(30))["created_at"], self.row["created_at"])


class NovaApi(http.server.BaseHTTPRequestHandler):
    """Stands behind a gate: answers 202 with what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(202)
        self.send_header("x-openstack-request-id", "req-behind")
        self.send_header("OpenStack-API-Version", self.headers["OpenStack-API-Version"])
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


class Gates(unittest.TestCase):
    path = "/v2.1/servers/6f1a3c1e-0f6b-4c0e-9d5b-6e6f76612d68/action"
    body = b'{"evacuate":  {"host": "ha1"}}'

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.log = Path(folder.name, "log")
        self.behind = http.server.ThreadingHTTPServer(("127.0.0.1", 0), NovaApi)
        self.gate = Gate("127.0.0.1", 0, self.behind.server_address[1], self.log)
        self.addCleanup(self.gate.log.file.close)
        for server in (self.behind, self.gate.server):
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)

    def post(self):
        connection = http.client.HTTPConnection(*self.gate.server.server_address[:2], timeout=10)
        try:
            connection.request("POST", self.path, self.body, {"OpenStack-API-Version": "compute 2.13"})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()
        finally:
            connection.close()

    def logged(self, event):
        found = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [entry for entry in found if entry["event"] == event]

    def test_what_passes_is_nova_s_own_and_an_evacuate_is_on_record(self):
        status, headers, data = self.post()
        self.assertEqual((status, data, headers["X-Openstack-Request-Id"]), (202, self.body, "req-behind"))
        self.assertEqual(headers["OpenStack-API-Version"], "compute 2.13")
        (entry,) = self.logged("evacuate")
        post = entry["post"]
        self.assertEqual((post["id"], post["microversion"], post["status"], post["request_id"]),
                         (self.path.split("/")[3], "2.13", 202, "req-behind"))
        self.assertEqual(post["body"], {"evacuate": {"host": "ha1"}})

    def test_where_nova_is_gone_nobody_answers_and_the_post_is_of_unknown_end(self):
        self.behind.shutdown()
        self.behind.server_close()
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError)):
            self.post()
        (entry,) = self.logged("evacuate")
        self.assertIsNone(entry["post"]["status"])

    def test_an_answer_is_lost_after_it_had_its_effect(self):
        self.gate.faults.add({"method": "POST", "action": "drop", "effect": True})
        with self.assertRaises((http.client.RemoteDisconnected, ConnectionResetError)):
            self.post()
        (entry,) = self.logged("evacuate")
        self.assertEqual(entry["post"]["status"], 202)


class Tiers(unittest.TestCase):
    def read(self, text):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "99_x.py")
            path.write_text(text, encoding="utf-8")
            return scenario.Scenario.read(path)

    def test_a_scenario_that_wants_the_real_cloud_is_of_tier_cloud(self):
        self.assertEqual(self.read('"""It."""\nSHAPE = {"hosts": 2, "cloud": "openstack"}\n').tier, "cloud")
        self.assertEqual(self.read('"""It."""\nSHAPE = {"hosts": 2}\n').tier, "lab")

    def test_a_time_limit_is_stretched_on_a_slow_machine_and_never_shortened(self):
        for pace, limit in ((0.5, 7), (1.0, 7), (3.0, 21)):
            with mock.patch.object(product, "PACE", pace):
                self.assertEqual(self.read('"""It."""\nTIME_LIMIT = 7\n').time_limit, limit)

    def test_every_scenario_from_50_to_59_and_no_other_wants_the_real_cloud(self):
        for found in scenario.discover():
            self.assertEqual(found.tier == "cloud", found.name.startswith("5"), found.name)

    def test_only_hosts_and_targets_have_a_real_nova_compute(self):
        self.assertEqual(Shape(hosts=2, cloud="openstack").computes(), ["compute1", "compute2"])
        own = Shape(hosts=1, ha_nodes=2, cloud="openstack", targets={"mode": "this_ha_node"})
        self.assertEqual(own.computes(), ["compute1", "ha1", "ha2"])
        named = Shape(hosts=1, ha_nodes=2, cloud="openstack", targets={"mode": "hosts", "hosts": ["ha2"]})
        self.assertEqual(named.computes(), ["compute1", "ha2"])


class Template(unittest.TestCase):
    def test_its_name_follows_the_versions(self):
        pins = places.PINS
        with tempfile.TemporaryDirectory() as folder:
            for name in ("constraints.txt", "requirements.txt"):
                Path(folder, name).write_bytes((pins / name).read_bytes())
            before = places.template()
            places.PINS = Path(folder)
            try:
                self.assertEqual(places.template(), before)
                Path(folder, "constraints.txt").write_text("nova==35.0.0\n", encoding="utf-8")
                self.assertNotEqual(places.template(), before)
            finally:
                places.PINS = pins


if __name__ == "__main__":
    unittest.main()
