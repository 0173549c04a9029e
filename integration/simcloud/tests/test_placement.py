"""Placement: what is used, and when it is free again."""

from .cloud import CloudCase


class PlacementCase(CloudCase):
    seed = {"hosts": [{"name": "c1", "slots": 2}], "ha_nodes": [{"name": "ha1", "slots": 2}], "evacuate_seconds": 0.1,
            "service_down_seconds": 0.2, "heartbeats": "auto",
            "guests": [{"name": "g0", "host": "c1"}, {"name": "g1", "host": "c1"}]}

    def place(self, query, version="placement 1.31"):
        return self.ask("GET", "/placement/allocation_candidates?" + query, **{"OpenStack-API-Version": version})

    def free(self, host):
        uuid = next(h["id"] for h in self.nova("GET", "/os-hypervisors/detail")[1]["hypervisors"]
                    if h["service"]["host"] == host)
        summaries = self.place("resources=VCPU:1&in_tree=" + uuid)[1]["provider_summaries"]
        return {c: r["capacity"] - r["used"] for c, r in summaries[uuid]["resources"].items()} if summaries else None

    def test_used_is_what_is_there_and_what_went_away_and_was_not_settled(self):
        self.log_in()
        self.assertIsNone(self.free("c1"))
        self.assertEqual(self.free("ha1"), {"VCPU": 2, "MEMORY_MB": 128})
        self.die("c1")
        self.assertEqual(self.evacuate("g0", "2.13", onSharedStorage=True, host="ha1")[0], 200)
        self.until(lambda: self.state()["migrations"][-1]["status"] == "done")
        self.assertEqual(self.free("ha1"), {"VCPU": 1, "MEMORY_MB": 64})
        self.assertIsNone(self.free("c1"), "its allocation is doubled until nova-compute starts there")
        self.sim("hosts", {"host": "c1", "alive": True})
        self.assertEqual(self.free("c1"), {"VCPU": 1, "MEMORY_MB": 64})

    def test_what_placement_refuses(self):
        self.assertEqual(self.place("resources=VCPU:1")[0], 401)
        self.log_in()
        for query, version, status in (
                ("resources=VCPU", "placement 1.31", 400), ("resources=", "placement 1.31", 400),
                ("resources=VCPU:1&in_tree=x", "placement 1.30", 400), ("resources=VCPU:1", "placement 1.99", 406),
                ("resources=VCPU:1", "compute 2.90", 200), ("resources=VCPU:9", "placement 1.31", 200)):
            self.assertEqual(self.place(query, version)[0], status, query)
        self.assertEqual(self.place("resources=VCPU:9")[1]["provider_summaries"], {})
