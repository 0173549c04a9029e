"""Nova's HTTP API, as far as a recovery uses it: routes, paging, and what an answer looks like."""

import re
import time
import urllib.parse

from . import microversions, views
from .evacuation import evacuate
from .world import SHUTDOWN, Refused, wall

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MIGRATION_FILTERS = ("source_compute", "migration_type", "instance_uuid", "status")


class Nova:
    def __init__(self, world, base):
        self.world = world
        self.maximum = microversions.MAXIMUM
        if "max_microversion" in world.seed:
            self.maximum = tuple(int(part) for part in world.seed["max_microversion"].split("."))
        self.base = base + "/compute/v2.1"

    def answer(self, method, path, query, body, version, request_id, global_id=None):
        """(status, body or None); `path` begins after /compute/v2.1."""
        parts = [p for p in path.split("/") if p]
        with self.world.lock:
            match (method, parts):
                case ("GET", []):
                    return 200, views.version_document(self.base, microversions.text(self.maximum),
                                                       microversions.text(microversions.MINIMUM))
                case ("GET", ["os-services"]):
                    return 200, self.services(query, version)
                case ("PUT", ["os-services", ref]) if version >= (2, 53):
                    return 200, self.update_service(ref, body)
                case ("GET", ["servers", "detail"]):
                    return 200, self.servers(query, version)
                case ("GET", ["servers", ref]):
                    return 200, {"server": self.server(self.world.guest(ref), version, alone=True)}
                case ("POST", ["servers", ref, "action"]):
                    return self.act(ref, body, version, request_id, global_id)
                case ("GET", ["servers", ref, "os-instance-actions"]):
                    guest = self.world.guest(ref)
                    return 200, {"instanceActions": [views.action(guest, row, version, events=False)
                                                     for row in reversed(guest.actions)]}
                case ("GET", ["servers", ref, "os-instance-actions", request]):
                    guest = self.world.guest(ref)
                    for row in guest.actions:
                        if row["request_id"] == request:
                            return 200, {"instanceAction": views.action(guest, row, version, events=True)}
                    raise Refused(404, "Action for request_id %s on instance %s not found" % (request, ref))
                case ("GET", ["os-migrations"]):
                    return 200, self.migrations(query, version)
                case ("GET", ["os-aggregates"]):
                    return 200, {"aggregates": [
                        {"id": n, "name": a["name"], "availability_zone": None, "hosts": a.get("hosts", []),
                         "metadata": a.get("metadata", {})} for n, a in enumerate(self.world.aggregates, start=1)]}
                case ("GET", ["os-server-groups"]):
                    return 200, self.server_groups(query, version)
                case ("GET", ["os-hypervisors"]):
                    return 200, self.hypervisors(query, version, details=False)
                case ("GET", ["os-hypervisors", "detail"]):
                    return 200, self.hypervisors(query, version, details=True)
                case _:
                    return 404, views.NO_ROUTE

    # services

    def services(self, query, version):
        rows = [h for h in self.world.hosts.values() if not h.removed and query.get("host") in (None, "", h.name)]
        if query.get("binary") not in (None, "", "nova-compute"):
            rows = []
        return {"services": [self.service(h, version) for h in rows if not h.cell_down or version >= (2, 69)]}

    def service(self, host, version):
        if host.cell_down:
            return {"binary": "nova-compute", "host": host.name, "status": "UNKNOWN"}
        beat = wall() if self.world.auto_heartbeats and host.alive else host.last_beat_wall
        # `updated_at` is the record's: a change by the API moves it as a report does.
        beat = max(beat, host.changed_wall)
        row = {"id": host.uuid if version >= (2, 53) else host.number, "binary": "nova-compute", "host": host.name,
               "zone": "nova", "status": "disabled" if host.disabled else "enabled",
               "state": "up" if self.world.is_up(host) else "down", "updated_at": views.whole(beat),
               "disabled_reason": host.disabled_reason}
        if version >= (2, 11):
            row["forced_down"] = host.forced_down
        return row

    def update_service(self, ref, body):
        if not UUID.fullmatch(ref):
            raise Refused(400, "Invalid uuid %s" % ref)
        host = next((h for h in self.world.hosts.values() if h.uuid == ref and not h.removed), None)
        if host is None:
            raise Refused(404, "Service %s could not be found." % ref)
        if host.cell_down:
            raise Refused(500, "Unexpected API Error.")
        if not isinstance(body, dict) or not body or set(body) - {"status", "disabled_reason", "forced_down"}:
            raise Refused(400, "Invalid input: Additional properties are not allowed")
        status, reason, forced = body.get("status"), body.get("disabled_reason"), body.get("forced_down")
        if status not in (None, "enabled", "disabled"):
            raise Refused(400, "Invalid input for field/attribute status. Value: %r." % status)
        if status == "enabled" and reason:
            raise Refused(400, "Specifying 'disabled_reason' with status 'enabled' is invalid.")
        if status is None and reason is not None:
            raise Refused(400, "Missing disabled status")
        if reason is not None and not 1 <= len(reason) <= 255:
            raise Refused(400, "Invalid input for field/attribute disabled_reason.")
        if forced is not None and not isinstance(forced, bool):
            raise Refused(400, "Invalid input for field/attribute forced_down. Value: %r." % forced)
        if forced is False and any(m.source_compute == host.name and m.status == "done"
                                   for m in self.world.migrations):
            raise Refused(400, "Unable to force up host %s as `done` evacuation migration records remain associated "
                               "with the host. Ensure the compute service has been restarted, allowing these records "
                               "to move to `completed` before retrying this request." % host.name)
        if status is not None:
            host.disabled = status == "disabled"
            host.disabled_reason = reason if host.disabled else None
        if forced is not None:
            host.forced_down = forced
        host.changed_wall = wall()
        self.world.log(event="service", host=host.name, **body)
        return {"service": self.service(host, (2, 53))}

    def hypervisors(self, query, version, details):
        rows = [h for h in self.world.hosts.values() if not h.removed and not h.cell_down]
        rows, links = self.page(rows, query, lambda h: h.uuid, "/os-hypervisors" + ("/detail" if details else ""))
        answer = {"hypervisors": []}
        for host in rows:
            row = {"id": host.uuid if version >= (2, 53) else host.number, "hypervisor_hostname": host.hypervisor_hostname,
                   "state": "up" if self.world.is_up(host) else "down",
                   "status": "disabled" if host.disabled else "enabled"}
            if details:
                row["host_ip"] = host.host_ip
                row["service"] = {"host": host.name, "id": host.uuid, "disabled_reason": host.disabled_reason}
            answer["hypervisors"].append(row)
        if links:
            answer["hypervisors_links"] = links
        return answer

    # servers

    def page(self, rows, query, key, path):
        """Nova's paging: at most max_limit rows; a full page carries a link even if it is the last."""
        limit = query.get("limit")
        if limit is not None and not limit.isdigit():
            raise Refused(400, "Invalid input for query parameters limit. Value: %s." % limit)
        limit = min(int(limit), self.world.max_limit) if limit is not None else self.world.max_limit
        marker = query.get("marker")
        if marker is not None:
            at = [n for n, row in enumerate(rows) if key(row) == marker]
            if not at:
                raise Refused(400, "marker [%s] not found" % marker)
            rows = rows[at[0] + 1:]
        rows = rows[:limit]
        links = []
        if rows and len(rows) == limit:
            again = dict(query, limit=str(limit), marker=key(rows[-1]))
            links = [{"rel": "next", "href": "%s%s?%s" % (self.base, path, urllib.parse.urlencode(again))}]
        return rows, links

    def servers(self, query, version):
        rows = [g for g in self.world.guests.values() if not g.deleted]
        if query.get("all_tenants") not in ("1", "True", "true", ""):
            rows = [g for g in rows if g.project == "admin"]
        if query.get("host") is not None:
            rows = [g for g in rows if g.host == query["host"]]
        # Any filter or paging makes Nova leave a down cell's servers out without a word; only the
        # plain list of all tenants shows partial records (2.69).
        if version < (2, 69) or set(query) - {"all_tenants"}:
            rows = [g for g in rows if not self.world.hosts[g.host].cell_down]
        rows, links = self.page(rows, query, lambda g: g.id, "/servers/detail")
        answer = {"servers": [self.server(g, version) for g in rows]}
        if links:
            answer["servers_links"] = links
        return answer

    def server(self, guest, version, alone=False):
        host = self.world.hosts[guest.host]
        if host.cell_down:
            if version < (2, 69):
                raise Refused(500, "Cell cell1 is not responding or returned an exception, hence instance info is not "
                                   "available.")
            row = {"id": guest.id, "status": "UNKNOWN", "tenant_id": guest.project, "created": views.zulu(guest.created)}
            if alone:
                row.update({"OS-EXT-STS:power_state": 0, "OS-EXT-AZ:availability_zone": "UNKNOWN"})
            return row
        return views.server(guest, host, self.world.is_up(host), version, self.base, alone)

    def act(self, ref, body, version, request_id, global_id):
        if isinstance(body, dict) and set(body) == {"os-resetState"}:
            return self.reset_state(self.world.guest(ref), body["os-resetState"], request_id)
        if isinstance(body, dict) and set(body) == {"os-stop"}:
            return self.stop(self.world.guest(ref), request_id)
        if not isinstance(body, dict) or "evacuate" not in body:
            raise Refused(400, "There is no such action: %s" % (list(body) if isinstance(body, dict) else body))
        post = {"at": wall(), "monotonic": time.monotonic(), "guest": None, "id": ref, "body": body,
                "microversion": microversions.text(version), "request_id": request_id,
                "global_request_id": global_id, "status": 200, "why": None}
        self.world.evacuate_posts.append(post)
        try:
            wrong = microversions.evacuate_body_error(version, body)
            if wrong:
                raise Refused(400, wrong)
            guest = self.world.guest(ref)
            post["guest"], post["from"] = guest.name, guest.host
            post["migration"] = evacuate(self.world, guest, version, body, request_id).id
        except Refused as refused:
            post["status"], post["why"] = refused.status, str(refused)
            raise
        # 200, not 202; before 2.14 with a body.
        return 200, ({"adminPass": None} if version < (2, 14) else None)

    def reset_state(self, guest, inner, request_id):
        """As Nova: whatever it was, and an evacuation that is under way fails over it."""
        if not isinstance(inner, dict) or inner.get("state") not in ("active", "error"):
            raise Refused(400, "Invalid input for field/attribute state.")
        if any(m.guest is guest and m.status in ("accepted", "pre-migrating") for m in self.world.migrations):
            self.world.violate("reset_during_evacuation", guest, request_id)
        for migration in self.world.migrations:
            if migration.guest is guest and migration.status in ("accepted", "pre-migrating"):
                migration.become("failed")
        guest.vm_state, guest.task_state, guest.updated = inner["state"], None, wall()
        self.world.log(event="reset", guest=guest.name, state=guest.vm_state)
        return 202, None

    def stop(self, guest, request_id):
        if guest.vm_state not in ("active", "error") or guest.task_state is not None:
            raise Refused(409, "Cannot 'stop' instance %s while it is in vm_state %s" % (guest.id, guest.vm_state))
        guest.task_state, guest.updated = "powering-off", wall()

        def stopped():
            guest.vm_state, guest.task_state, guest.power_state, guest.updated = "stopped", None, SHUTDOWN, wall()
            guest.running_on.discard(guest.host)
            self.world.log(event="stopped", guest=guest.name, host=guest.host)
        self.world.after(0.2, stopped)
        return 202, None

    def actions(self, guest, events):
        rows = []
        for action in reversed(guest.actions):
            row = {k: action[k] for k in ("action", "request_id", "start_time", "message")}
            row.update(instance_uuid=guest.id, project_id="admin-id", user_id="admin-id")
            if events:
                row["events"] = action["events"]
            rows.append(row)
        return rows

    def server_groups(self, query, version):
        """Nova's `limited`: offset and limit, at most max_limit, no links; other projects' for `all_projects`."""
        rows = self.world.server_groups if "all_projects" in query else []
        offset = int(query.get("offset", 0))
        rows = rows[offset:offset + min(int(query.get("limit", self.world.max_limit)), self.world.max_limit)]
        ids = {g.name: g.id for g in self.world.guests.values() if not g.deleted}
        policy = (lambda g: {"policy": g["policy"], "rules": {}}) if version >= (2, 64) else (
            lambda g: {"policies": [g["policy"]], "metadata": {}})
        return {"server_groups": [{"id": "group-" + g["name"], "name": g["name"], **policy(g),
                                   "members": [ids[m] for m in g["members"] if m in ids],
                                   "project_id": "p", "user_id": "u"} for g in rows]}

    # migrations

    def migrations(self, query, version):
        known = set(MIGRATION_FILTERS) | {"host", "limit", "marker", "hidden", "changes-since", "changes-before"}
        if version >= (2, 59) and set(query) - known:
            raise Refused(400, "Additional properties are not allowed (%s)" % sorted(set(query) - known))
        rows = [m for m in self.world.migrations + self.world.moves
                if not self.world.hosts[m.source_compute].cell_down]
        for name, value in query.items():
            if name == "host":
                rows = [m for m in rows if value in (m.source_compute, m.dest_compute)]
            elif name in MIGRATION_FILTERS:
                rows = [m for m in rows if self.migration(m, (2, 80))[name] == value]
        links = []
        if version >= (2, 59):
            rows = sorted(rows, key=lambda m: (m.created, m.id), reverse=True)
            rows, links = self.page(rows, query, lambda m: m.uuid, "/os-migrations")
        answer = {"migrations": [self.migration(m, version) for m in rows]}
        if links:
            answer["migrations_links"] = links
        return answer

    def migration(self, row, version):
        """With the target's address, which Nova knows once the target has taken it."""
        address = row.dest_node and "10.77.1.%d" % self.world.hosts[row.dest_compute].number
        return views.migration(row, version, address)
