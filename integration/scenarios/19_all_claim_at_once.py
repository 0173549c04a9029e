"""All HA nodes' `recover` start in the same instant: exactly one claims, one fences, each guest is evacuated once."""

from collections import Counter

from novalab import expect

MAY_BE_SHOT = ["compute1"]


def run(lab):
    names = [node.name for node in lab.ha_nodes]
    lab.panic("compute1")
    lab.wait_incident("compute1", timeout=60)
    lab.together(names, "nova-ha-recover", "compute1")
    incident = expect.recovered(lab, "compute1", 90)
    assert len(incident.events("claimed")) == 1, incident.events("claimed")
    posts = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert posts and set(posts.values()) == {1}, posts
