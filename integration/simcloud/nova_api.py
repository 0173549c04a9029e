"""Nova's HTTP API, as far as a recovery uses it: routes, paging, and what an answer looks like."""

import re
import time
import urllib.parse

from . import microversions
from .evacuation import evacuate
from .world import Refused, wall

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
MIGRATION_FILTERS = ("source_compute", "migration_type", "instance_uuid", "status")


class Nova:
    def __init__(self, world, base):
        self.world = world
        self.maximum = microversions.MAXIMUM
        if "max_microversion" in world.seed:
            self.maximum = tuple(int(part) for part in world.seed["max_microversion"].split("."))
        self.base = base + "/compute/v2.1"

    def version_document(self):
        return {"version": {"id": "v2.1", "status": "CURRENT", "version": microversions.text(self.maximum),
                            "min_version": microversions.text(microversions.MINIMUM),
                            "updated": "2013-07-23T11:33:21Z", "links": [{"rel": "self", "href": self.base + "/"}]}}

    def answer(self, method, path, query, body, version, request_id, global_id=None):
        """(status, body or None); `path` begins after /compute/v2.1."""
        parts = [p for p in path.split("/") if p]
        with self.world.lock:
            match (method, parts):
                case ("GET", []):
                    return 200, self.version_document()
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
                    return 200, {"instanceActions": self.actions(self.world.guest(ref), events=False)}
                case ("GET", ["servers", ref, "os-instance-actions", request]):
                    for action in self.actions(self.world.guest(ref), events=True):
                        if action["request_id"] == request:
                            return 200, {"instanceAction": action}
                    raise Refused(404, "Action for request_id %s on instance %s not found" % (request, ref))
                case ("GET", ["os-migrations"]):
                    return 200, self.migrations(query, version)
                case ("GET", ["os-hypervisors"]):
                    return 200, {"hypervisors": [
                        {"id": h.uuid if version >= (2, 53) else h.number, "hypervisor_hostname": h.hypervisor_hostname,
                         "state": "up" if self.world.is_up(h) else "down",
                         "status": "disabled" if h.disabled else "enabled"} for h in self.world.hosts.values()]}
                case _:
                    raise Refused(404, "The resource could not be found.")

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
        row = {"id": host.uuid if version >= (2, 53) else host.number, "binary": "nova-compute", "host": host.name,
               "zone": "nova", "status": "disabled" if host.disabled else "enabled",
               "state": "up" if self.world.is_up(host) else "down", "updated_at": beat,
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
        self.world.log(event="service", host=host.name, **body)
        return {"service": self.service(host, (2, 53))}

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
            row = {"id": guest.id, "status": "UNKNOWN", "tenant_id": guest.project, "created": guest.created}
            if alone:
                row.update({"OS-EXT-STS:power_state": 0, "OS-EXT-AZ:availability_zone": "UNKNOWN"})
            return row
        row = {"id": guest.id, "name": guest.name, "status": guest.status, "tenant_id": guest.project,
               "user_id": "user-" + guest.project, "created": guest.created, "updated": guest.updated,
               "metadata": guest.metadata, "hostId": "h" + guest.host, "addresses": {}, "links": [],
               "image": {"id": guest.image, "links": []} if guest.image else "",
               "config_drive": "", "key_name": None,
               "OS-EXT-AZ:availability_zone": "nova",
               "OS-EXT-SRV-ATTR:host": guest.host,
               "OS-EXT-SRV-ATTR:hypervisor_hostname": host.hypervisor_hostname,
               "OS-EXT-SRV-ATTR:instance_name": "instance-" + guest.id[:8],
               "OS-EXT-STS:vm_state": guest.vm_state, "OS-EXT-STS:task_state": guest.task_state,
               "OS-EXT-STS:power_state": guest.power_state,
               "OS-SRV-USG:launched_at": guest.created if guest.launched else None,
               "os-extended-volumes:volumes_attached": [{"id": v, "delete_on_termination": False}
                                                        for v in guest.volumes],
               "flavor": {"original_name": "lab.tiny", "vcpus": 1, "ram": 64, "disk": 0, "ephemeral": 0, "swap": 0,
                          "extra_specs": {}}}
        if version >= (2, 9):
            row["locked"] = guest.locked
        if version >= (2, 73):
            row["locked_reason"] = guest.locked_reason
        if guest.fault:
            row["fault"] = guest.fault
        return row

    def act(self, ref, body, version, request_id, global_id):
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

    def actions(self, guest, events):
        rows = []
        for action in reversed(guest.actions):
            row = {k: action[k] for k in ("action", "request_id", "start_time", "message")}
            row.update(instance_uuid=guest.id, project_id="admin-id", user_id="admin-id")
            if events:
                row["events"] = action["events"]
            rows.append(row)
        return rows

    # migrations

    def migrations(self, query, version):
        known = set(MIGRATION_FILTERS) | {"host", "limit", "marker", "hidden", "changes-since", "changes-before"}
        if version >= (2, 59) and set(query) - known:
            raise Refused(400, "Additional properties are not allowed (%s)" % sorted(set(query) - known))
        rows = [m for m in self.world.migrations if not self.world.hosts[m.source_compute].cell_down]
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

    @staticmethod
    def migration(row, version):
        out = {"id": row.id, "instance_uuid": row.guest.id, "status": row.status,
               "source_compute": row.source_compute, "source_node": row.source_node,
               "dest_compute": row.dest_compute, "dest_node": row.dest_node, "dest_host": None,
               "created_at": row.created, "updated_at": row.updated,
               "new_instance_type_id": None, "old_instance_type_id": None}
        if version >= (2, 23):
            out["migration_type"] = row.type
        if version >= (2, 59):
            out["uuid"] = row.uuid
        if version >= (2, 80):
            out.update(user_id="user-" + row.guest.project, project_id=row.guest.project)
        return out
