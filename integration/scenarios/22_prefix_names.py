"""`node1` beside `node10` and `node1.example.org`: exactly the one that died is marked, shot and evacuated."""

from novalab import expect

SHAPE = {"hosts": ["node1", "node10", "node1.example.org"], "fences": {}, "guests": 9}
MAY_BE_SHOT = ["node1"]


def run(lab):
    lab.panic("node1")
    expect.recovered(lab, "node1")
    for other in ("node10", "node1.example.org"):
        assert lab.lives(other) and not lab.incident_ids(other) and not lab.flag(other, "failed")
        assert not lab.cloud.state()["hosts"][other]["forced_down"]
