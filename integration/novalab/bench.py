"""How much of an evacuation's time is the product's own, beside a real Nova that works on two cores.

A host with guests loses its power and is recovered. Between the journal's *started: evacuate* and *finished: evacuate*
every moment is Nova's in which a request of ours is unanswered (the gate's log) or an evacuation is under way (from its
POST to the moment at which Nova's database has it `done`, read every 20 ms past the product). The rest is our own share:
deciding, the ledger in Consul, and the pauses between two looks.
"""

import os
import threading
import time
from datetime import datetime

from novalab import paths
from novalab.cluster import Lab, Shape
from novalab.demo import stamp

HOST = "compute1"
MOST_OWN_SECONDS = 0.3
LOOK_EVERY = 0.02
DONE = "SELECT instance_uuid FROM nova.migrations WHERE migration_type = 'evacuation' AND status IN ('done', 'completed');"


class Watch(threading.Thread):
    """When Nova had each evacuation done, to some 20 ms."""

    def __init__(self, plane):
        super().__init__(daemon=True)
        self.plane = plane
        self.done = {}
        self.over = threading.Event()

    def run(self):
        while not self.over.wait(LOOK_EVERY):
            found = self.plane.sql(DONE).split()
            now = time.time()
            for server in found:
                self.done.setdefault(server, now)


def main(guests):
    """Measures once; returns the exit code."""
    spec = [{"name": f"vm-{n:03}", "host": HOST} for n in range(1, guests + 1)]
    lab = Lab.create(Shape(cloud="openstack", hosts=2, ha_nodes=3, guests=0, fences={}, cloud_seed={"guests": spec}),
                     owner=os.getpid())
    try:
        lab.up()
        lab.may_be_shot(HOST)
        watch = Watch(lab.cloud.plane)
        watch.start()
        lab.cut(HOST)
        incident = lab.wait_incident(HOST, "closed", 120 + 10 * guests)
        watch.over.set()
        watch.join()
        return tell(lab, incident, watch.done, guests)
    except BaseException:
        print(f"logs: {os.path.relpath(lab.keep_logs('bench'), paths.REPO)}", flush=True)
        raise
    finally:
        lab.down()


def tell(lab, incident, done, guests):
    """Prints the figures; 1 where the bound is exceeded."""
    begin, end = (next(stamp(e["at"]) for e in incident.journal
                       if (e["what"]["event"], e["what"].get("step")) == (word, "evacuate")) for word in ("started", "finished"))
    asked = {post["id"]: utc(post["at"]) for post in lab.evacuations() if post["status"] in (200, 202)}
    assert set(asked) == set(done) and len(done) == guests, f"{len(asked)} asked for, {len(done)} done, of {guests}"
    spans = [(asked[server], done[server]) for server in asked]
    node = lab.machine(incident.holder).address
    for request in lab.cloud.requests():
        if request["source"] == node:
            spans.append((utc(request["at"]) - request["ms"] / 1000, utc(request["at"])))
    nova = covered(spans, begin, end)
    own = end - begin - nova
    requests = sum(1 for r in lab.cloud.requests() if r["source"] == node and begin <= utc(r["at"]) <= end)
    print(f"guests     {guests}, all recovered: {set(incident.outcomes().values()) == {'recovered'}}")
    print(f"evacuate   {end - begin:.2f} s, of which Nova {nova:.2f} s; {requests / guests:.1f} requests a guest")
    print(f"own share  {own:.3f} s ({100 * own / (end - begin):.1f} %), at most {MOST_OWN_SECONDS} s")
    return 0 if own <= MOST_OWN_SECONDS else 1


def covered(spans, begin, end):
    """Seconds between `begin` and `end` that are in at least one span."""
    total, until = 0.0, begin
    for start, stop in sorted(spans):
        start, stop = max(start, until), min(stop, end)
        if stop > start:
            total += stop - start
            until = stop
    return total


def utc(text):
    """The gate's stamps as seconds since the epoch."""
    return datetime.fromisoformat(text if text.endswith("Z") or "+" in text else text + "+00:00").timestamp()
