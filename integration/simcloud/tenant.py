"""What somebody may do who is no administrator: to his own project's guests, by Nova's API, and nothing else.

A user of the seed with `"role": "member"` is one. As in Nova's default policy he sees his own guests without their hosts, gives
them names and metadata, and rebuilds them; whatever else is asked is refused with 403.
"""

import unicodedata

from .world import Refused, wall

REBUILD_SECONDS = 1.0
REBUILDABLE = ("active", "stopped", "paused", "error")
MOST_LETTERS = 255


class Tenants:
    """Nova's API for members of a project."""

    def __init__(self, world):
        self.world = world

    def answer(self, method, parts, body, project, request_id):
        """(status, body or None). Raises Refused."""
        with self.world.lock:
            match (method, parts):
                case ("GET", []):
                    return 200, None
                case ("GET", ["servers"] | ["servers", "detail"]):
                    return 200, {"servers": [self.shown(g) for g in self.world.guests.values()
                                             if g.project == project and not g.deleted]}
                case ("GET", ["servers", ref]):
                    return 200, {"server": self.shown(self.own(ref, project))}
                case ("PUT", ["servers", ref]):
                    return 200, {"server": self.rename(self.own(ref, project), body["server"]["name"])}
                case ("POST", ["servers", ref, "metadata"]):
                    return 200, {"metadata": self.mark(self.own(ref, project), body["metadata"])}
                case ("POST", ["servers", ref, "action"]) if isinstance(body, dict) and set(body) == {"rebuild"}:
                    return 202, {"server": self.rebuild(self.own(ref, project), request_id)}
        raise Refused(403, "Policy doesn't allow %s %s to be performed." % (method, "/".join(parts)))

    def own(self, ref, project):
        """As Nova: another project's guest is not there."""
        guest = self.world.guest(ref)
        if guest.project != project:
            raise Refused(404, "Instance %s could not be found." % ref)
        return guest

    @staticmethod
    def shown(guest):
        return {"id": guest.id, "name": guest.name, "status": guest.status, "metadata": guest.metadata,
                "OS-EXT-STS:task_state": guest.task_state}

    def rename(self, guest, name):
        """Nova takes no name with control characters, and any other; the letters of metadata are the tenant's own."""
        bad = [c for c in name if unicodedata.category(c)[0] == "C" or (unicodedata.category(c)[0] == "Z" and c != " ")]
        if bad or not 1 <= len(name) <= MOST_LETTERS:
            raise Refused(400, "Invalid input for field/attribute name. Value: %r." % name)
        guest.name, guest.updated = name, wall()
        return self.shown(guest)

    @staticmethod
    def mark(guest, metadata):
        if any(not isinstance(value, str) or len(value) > MOST_LETTERS for value in metadata.values()):
            raise Refused(400, "Invalid input for field/attribute metadata.")
        guest.metadata.update(metadata)
        return guest.metadata

    def rebuild(self, guest, request_id):
        """The host's nova-compute does it, if it lives; of a dead one nobody ever takes the call, and the guest stays as it is."""
        if guest.task_state is not None or guest.vm_state not in REBUILDABLE:
            raise Refused(409, "Cannot 'rebuild' instance %s while it is in task_state %s" % (guest.id, guest.task_state))
        host = self.world.hosts[guest.host]
        guest.task_state, guest.updated = "rebuilding", wall()
        guest.actions.append({"action": "rebuild", "request_id": request_id, "start_time": wall(), "message": None, "events": []})
        self.world.log(event="rebuild", guest=guest.name, host=guest.host)

        def rebuilt():
            if self.world.is_up(host) and guest.host == host.name and guest.task_state == "rebuilding" and not guest.deleted:
                guest.task_state, guest.updated = None, wall()
        self.world.after(REBUILD_SECONDS, rebuilt)
        return self.shown(guest)
