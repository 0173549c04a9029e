"""Placement's HTTP API, as far as a plan uses it: what is free on each host.

A host has room for `slots` guests of one VCPU and 64 MB (the lab's flavor); without `slots` for a thousand. Used is what Nova
would have allocated: each guest on the host, each evacuation on its way to it, and, as in real Nova, each guest that was
evacuated away from it until its nova-compute has started again (the migration is `done`, not `completed`).
"""

from .world import Refused

VCPU, MEMORY_MB, PLENTY = 1, 64, 1000
MAXIMUM = (1, 39)


def version_of(headers):
    """The microversion asked for; 1.0 where none is named."""
    for part in (headers.get("OpenStack-API-Version") or "").split(","):
        service, _, version = part.strip().partition(" ")
        if service == "placement":
            try:
                major, minor = version.split(".")
                asked = (int(major), int(minor))
            except ValueError:
                raise Refused(400, "invalid version string: %s" % version) from None
            if not (1, 0) <= asked <= MAXIMUM:
                raise Refused(406, "unacceptable version: %s" % version)
            return asked
    return (1, 0)


class Placement:
    def __init__(self, world):
        self.world = world

    def answer(self, method, path, query, version):
        if (method, path) != ("GET", "/allocation_candidates"):
            raise Refused(404, "The resource could not be found.")
        known = {"resources"} | ({"limit"} if version >= (1, 16) else set()) | ({"in_tree"} if version >= (1, 31) else set())
        if set(query) - known:
            raise Refused(400, "Invalid query string parameters: %s" % sorted(set(query) - known))
        wanted = {}
        for part in (query.get("resources") or "").split(","):
            name, _, amount = part.partition(":")
            if not name or not amount.isdigit():
                raise Refused(400, "Badly formed resources parameter. Got: %r." % query.get("resources"))
            wanted[name] = int(amount)
        with self.world.lock:
            return 200, self.candidates(wanted, query.get("in_tree"))

    def candidates(self, wanted, tree):
        requests, summaries = [], {}
        for host in self.world.hosts.values():
            if host.removed or tree not in (None, host.uuid):
                continue
            resources = self.resources(host)
            if all(name in resources and resources[name]["capacity"] - resources[name]["used"] >= amount
                   for name, amount in wanted.items()):
                requests.append({"allocations": {host.uuid: {"resources": wanted}}, "mappings": {"": [host.uuid]}})
                summaries[host.uuid] = {"resources": resources, "traits": [], "parent_provider_uuid": None,
                                        "root_provider_uuid": host.uuid}
        return {"allocation_requests": requests, "provider_summaries": summaries}

    def resources(self, host):
        world = self.world
        holders = {g.id for g in world.guests.values() if g.host == host.name and not g.deleted}
        for migration in world.migrations:
            if migration.dest_compute == host.name and migration.status in ("accepted", "pre-migrating"):
                holders.add(migration.guest.id)
            if migration.source_compute == host.name and migration.status == "done" and not migration.guest.deleted:
                holders.add(migration.guest.id)
        slots = PLENTY if host.slots is None else host.slots
        return {name: {"capacity": slots * each, "used": len(holders) * each}
                for name, each in (("VCPU", VCPU), ("MEMORY_MB", MEMORY_MB))}
