"""The simulated cloud answers with the status and the shape that real Nova was seen to answer with."""

import json
import unittest
from pathlib import Path

from contract import cases, shape

from .cloud import CloudCase

RECORDED = Path(__file__).resolve().parents[3] / "tests" / "data" / "nova-34.0.0-answers.json"


class Contract(CloudCase):
    seed = {"hosts": ["node1", "node10"], "ha_nodes": ["ha1"], "heartbeats": "auto", "evacuate_seconds": 0.1}

    def test_every_answer_is_of_the_shape_of_nova_s(self):
        self.log_in()
        found = cases.run(self, patience=10)
        wrong = shape.compare(json.loads(RECORDED.read_text(encoding="utf-8")), found)
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    # The stage of contract/cases.py

    def ask(self, method, path, body=None, version=None, token=True, **headers):
        if path.startswith(("/_sim/", "/v3/")):
            return super().ask(method, path, body, version, **headers)
        kept, self.token = self.token, self.token if token else None
        try:
            return super().ask(method, "/compute/v2.1" + path, body, version, **headers)
        finally:
            self.token = kept

    def tell(self, what, body):
        self.sim(what, body)


class Differences(unittest.TestCase):
    def test_what_differs_is_said_and_what_is_alike_is_not(self):
        alike = {"id": "6f1a3c1e-0f6b-4c0e-9d5b-6e6f76612d68", "at": "2026-01-01T00:00:00Z", "metadata": {"a": 1}, "rows": [1]}
        other = {**alike, "id": "00000000-0000-4000-8000-000000000000", "metadata": {}, "rows": [2, 3]}
        self.assertEqual(shape.differences(alike, other), [])
        for change in ({"id": 7}, {"at": "2026-01-01T00:00:00.000000"}, {"rows": []}, {"more": None}, {"id": None}):
            self.assertEqual(len(shape.differences(alike, {**other, **change})), 1, change)
        self.assertEqual(len(shape.differences({**alike, "more": 1}, other)), 1)

    def test_another_status_is_a_difference_and_a_case_of_one_cloud_is_too(self):
        one, two = {"case": "a", "status": 200, "answer": {}}, {"case": "a", "status": 404, "answer": {}}
        self.assertEqual(len(shape.compare([one], [two])), 1)
        self.assertEqual(len(shape.compare([one], [])), 1)


if __name__ == "__main__":
    unittest.main()
