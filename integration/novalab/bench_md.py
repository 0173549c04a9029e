"""How much of a takeover's time is the product's own: from *off* proved to mounted, with every guest's disk looked at.

A host with its guests on an md array loses its power, and an HA node with a kernel of its own takes the array over.
Between the journal's *finished: fence* and *finished: take storage* two kinds of moment are not ours: mdadm, mount or
umount runs (by recover's own log, which says of each program when it ended and how long it ran), or a request to Nova is
unanswered (by the cloud's log: the host is declared down in between). All the rest is our own share: reading disks and
mount table before each thing that is done and after it, deciding, the journal in Consul, udev's settling, the look at
every guest's disk, and sg_persist, which reserves the disks where they can be, two starts for each of them: how much that is
is told beside it. Starting mdadm is in mdadm's time, so the share of a slow kernel (User-mode Linux starts a program in
some 30 ms) is theirs where it is theirs.
"""

import os
import re
import statistics
from dataclasses import dataclass

from novalab import demo, paths, verdict
from novalab.bench import covered, utc
from novalab.cluster import Lab
from novalab.demo import stamp
from novalab.shape import shape_of

HOST, TAKER = "compute1", "ha1"
# On top of what mdadm and mount take, with 100 guests.
MOST_OWN_SECONDS = 1.0
THEIRS = ("mdadm", "mount", "umount")
RESERVING = "sg_persist"
# Of recover alone: what it says by itself, and each program that ends.
LOG = "info,nova_ha::program=debug"
ENDED = re.compile(r"^(?P<at>\S+Z) +DEBUG .*\bprogram=(?P<path>/\S+) seconds=(?P<seconds>[0-9.e+-]+) ended=", re.MULTILINE)
# Preflight, fence and storage take a quarter of a minute at most; then the guests, eight at a time.
RECOVER_SECONDS = 240


@dataclass
class Figures:
    """One takeover, in seconds."""

    total: float
    # mdadm, mount and umount.
    theirs: float
    nova: float
    own: float
    # Of our own: sg_persist.
    reserving: float
    # Of the total, by who ran how often: `{name: (times, seconds)}`.
    programs: dict

    @property
    def ratio(self):
        """What a takeover takes to what its mdadm and mount take; Nova's part is in neither."""
        return (self.theirs + self.own) / self.theirs


def main(guests, runs):
    """Measures `runs` times, each in a lab of its own; returns the exit code."""
    measured = []
    for number in range(1, runs + 1):
        found = measure(guests)
        measured.append(found)
        print(f"run {number}: {described(found)}", flush=True)
    return tell(measured, guests)


def measure(guests):
    """One takeover in a fresh lab. Raises where it does not end with all of it here."""
    seed = {"guests": [{"name": f"vm-{n:03}", "host": HOST} for n in range(1, guests + 1)], "evacuate_seconds": 0.2}
    # Two kernels are enough, and all that two cores can run without being in each other's way.
    shape = shape_of({"machines": "uml", "hosts": 1, "with_kernel": [HOST, TAKER], "storage": "md", "guests": 0,
                      "targets": {"mode": "this_ha_node"}, "cloud_seed": seed})
    lab = Lab.create(shape, owner=os.getpid())
    try:
        lab.up()
        lab.may_be_shot(HOST)
        for node in lab.ha_nodes:
            lab.stop_recoveries(node.name)
        lab.cut(HOST)
        lab.wait_incident(HOST, timeout=150)
        done = lab.recover(TAKER, env={"NOVA_HA_LOG": LOG}, timeout=RECOVER_SECONDS)
        (lab.machine(TAKER).folder / "log" / "recover-by-hand.log").write_text(done.err, encoding="utf-8")
        incident = lab.incident_of(HOST)
        assert done.code == 0 and incident.state == "closed", f"recover ended with {done.code}, incident {incident}"
        whole(lab, incident, guests)
        node = lab.machine(TAKER).address
        found = figures(*window(incident.journal), programs(done.err),
                        [request for request in lab.cloud.requests() if request["source"] == node])
        if found.own > MOST_OWN_SECONDS:
            print(f"{TAKER}/recover-by-hand.log says where it went: {os.path.relpath(lab.keep_logs('bench'), paths.REPO)}")
        return found
    except BaseException:
        print(f"logs: {os.path.relpath(lab.keep_logs('bench'), paths.REPO)}", flush=True)
        raise
    finally:
        lab.down()


def whole(lab, incident, guests):
    """A takeover that lost something, or looked at less, would be quick."""
    (taken,) = incident.events("finished", "take_storage")
    assert f"the disks of all {guests} guests are here" in taken["facts"], taken
    outcomes = list(incident.outcomes().values())
    assert outcomes == ["recovered"] * guests, outcomes
    wrong = verdict.violations(lab) + demo.disks_judged(lab, incident)
    assert not wrong, wrong


def window(journal):
    """From *off* proved to the storage taken: two stamps, in seconds since the epoch, by the clock of the HA node."""
    return tuple(next(stamp(entry["at"]) for entry in journal
                      if (entry["what"]["event"], entry["what"].get("step")) == ("finished", step)) for step in ("fence", "take_storage"))


def programs(log):
    """The programs of which recover's log says that they ended: `(name, start, end)`, by the clock of the HA node."""
    found = []
    for line in ENDED.finditer(log):
        end = stamp(line["at"])
        found.append((os.path.basename(line["path"]), end - float(line["seconds"]), end))
    return found


def figures(begin, end, ran, requests):
    """Divides the time between two stamps. `requests` are the cloud's, as it logs them."""
    ran = [one for one in ran if one[2] > begin and one[1] < end]
    theirs = [(start, stop) for name, start, stop in ran if name in THEIRS]
    assert theirs, "recover's log says nothing of mdadm and mount"
    nova = [(utc(request["at"]) - request["ms"] / 1000, utc(request["at"])) for request in requests]
    reserving = [(start, stop) for name, start, stop in ran if name == RESERVING]
    of_theirs, with_nova = covered(theirs, begin, end), covered(theirs + nova, begin, end)
    with_reserving = covered(theirs + nova + reserving, begin, end)
    by_name = {}
    for name, start, stop in ran:
        times, seconds = by_name.get(name, (0, 0.0))
        by_name[name] = (times + 1, seconds + stop - start)
    return Figures(end - begin, of_theirs, with_nova - of_theirs, end - begin - with_nova, with_reserving - with_nova, by_name)


def described(found):
    """One takeover in a line."""
    ran = ", ".join(f"{times} {name} {seconds:.2f} s" for name, (times, seconds) in sorted(found.programs.items()))
    return (f"{found.total:.2f} s, of which mdadm and mount {found.theirs:.2f} s, Nova {found.nova:.2f} s, "
            f"our own {found.own:.2f} s, with {found.reserving:.2f} s of sg_persist ({ran})")


def tell(measured, guests):
    """Prints the figures; 1 where the bound is exceeded."""
    own = [found.own for found in measured]
    typical = statistics.median(own)
    print(f"guests     {guests}, the disks of all seen after each of {len(measured)} takeovers")
    print(f"takeover   {statistics.median(f.total for f in measured):.2f} s from off proved to all disks seen; "
          f"mdadm and mount {statistics.median(f.theirs for f in measured):.2f} s")
    print(f"reserving  {statistics.median(f.reserving for f in measured):.2f} s of sg_persist, in our own share")
    print(f"ratio      {statistics.median(f.ratio for f in measured):.2f} to mdadm and mount alone")
    print(f"own share  {typical:.3f} s (median; from {min(own):.3f} to {max(own):.3f}), at most {MOST_OWN_SECONDS} s")
    return 0 if typical <= MOST_OWN_SECONDS else 1
