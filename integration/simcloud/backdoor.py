"""`/_sim/...`: how the lab moves the simulated cloud, and what it sees of it."""

import time

from .world import Refused, wall

GUEST_FIELDS = ("vm_state", "task_state", "power_state", "locked", "locked_reason", "metadata", "fate",
                "evacuate_seconds", "disk_on", "volume_backed", "launched")
SETTINGS = ("evacuate_seconds", "service_down_seconds")


class Backdoor:
    def __init__(self, world, keystone, faults, counters):
        self.world = world
        self.keystone = keystone
        self.faults = faults
        self.counters = counters

    def answer(self, method, path, body):
        match (method, path):
            case ("GET", "/_sim/state"):
                return 200, self.state()
            case ("GET", "/_sim/ready"):
                return 200, {}
            case ("POST", "/_sim/heartbeat"):
                beats = body if isinstance(body, list) else [body]
                for beat in beats:
                    self.world.heartbeat(beat["host"], beat.get("boot"), beat.get("start"), beat.get("guests"))
                return 200, {}
            case ("POST", "/_sim/guests"):
                with self.world.lock:
                    for spec in body if isinstance(body, list) else [body]:
                        self.guest(spec)
                return 200, {}
            case ("POST", "/_sim/moves"):
                with self.world.lock:
                    for spec in body if isinstance(body, list) else [body]:
                        self.world.add_move(spec)
                return 200, {}
            case ("POST", "/_sim/hosts"):
                with self.world.lock:
                    for spec in body if isinstance(body, list) else [body]:
                        self.host(spec)
                return 200, {}
            case ("POST", "/_sim/settings"):
                if set(body) - set(SETTINGS):
                    raise Refused(400, "settings are %s" % ", ".join(SETTINGS))
                for name, value in body.items():
                    setattr(self.world, name, float(value))
                return 200, {}
            case ("POST", "/_sim/faults"):
                for spec in body if isinstance(body, list) else [body]:
                    if spec.get("expire_tokens"):
                        self.keystone.expire_all()
                    else:
                        self.faults.add(spec)
                return 200, {}
            case ("DELETE", "/_sim/faults"):
                self.faults.clear()
                return 200, {}
        raise Refused(404, "no %s %s" % (method, path))

    def guest(self, spec):
        """A new guest by a new name; a known one by name or id changes, `deleted` removes it, `host` is a cold migration by a person."""
        try:
            guest = self.world.guest(spec.get("id") or spec["name"])
        except Refused:
            self.world.add_guest(spec)
            return
        if spec.get("deleted"):
            guest.deleted = True
            guest.running_on.clear()
        if spec.get("host", guest.host) != guest.host:
            self.world.moved_by_a_person(guest, spec["host"])
        for name in GUEST_FIELDS:
            if name in spec:
                setattr(guest, name, spec[name])
        if "fate" in spec:
            guest.fate_left = spec.get("fate_count")

    def host(self, spec):
        """`alive` (auto heartbeats), `cell_down`, `disabled`, `slots`, `instances_path`, `removed`."""
        host = self.world.hosts.get(spec["host"])
        if host is None:
            raise Refused(404, "no host %s" % spec["host"])
        if "alive" in spec and host.alive and not spec["alive"]:
            host.last_beat, host.last_beat_wall = time.monotonic(), wall()
            for guest in self.world.guests.values():
                guest.running_on.discard(host.name)
        if "alive" in spec and spec["alive"] and not host.alive:
            self.world.settle(host.name)
        for name in ("alive", "cell_down", "disabled", "disabled_reason", "slots", "instances_path",
                     "removed"):
            if name in spec:
                setattr(host, name, spec[name])

    def state(self):
        world = self.world
        with world.lock:
            now = time.monotonic()
            return {
                "at": wall(),
                "hosts": {h.name: {
                    "up": world.is_up(h), "forced_down": h.forced_down, "disabled": h.disabled,
                    "disabled_reason": h.disabled_reason, "boot": h.boot, "beats": h.beats,
                    "heartbeat_age": round(now - h.last_beat, 3),
                    "running": sorted(g.name for g in world.guests.values() if h.name in g.running_on),
                } for h in world.hosts.values()},
                "guests": [{
                    "name": g.name, "id": g.id, "host": g.host, "vm_state": g.vm_state, "task_state": g.task_state,
                    "power_state": g.power_state, "locked": g.locked, "disk": g.disk, "deleted": g.deleted,
                    "running_on": sorted(g.running_on), "history": g.history,
                } for g in world.guests.values()],
                "evacuate_posts": world.evacuate_posts,
                "migrations": [{
                    "id": m.id, "uuid": m.uuid, "guest": m.guest.name, "status": m.status, "created_at": m.created,
                    "updated_at": m.updated, "source_compute": m.source_compute, "dest_compute": m.dest_compute,
                    "request_id": m.request_id,
                } for m in world.migrations],
                "violations": [{k: v for k, v in row.items() if k != "key"} for row in world.violations],
                "requests": self.counters.show(),
                "tokens_issued": self.keystone.issued,
                "faults": self.faults.show(),
            }
