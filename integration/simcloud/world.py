"""What exists: hosts with their nova-compute service, guests, migrations, and who saw what.

One lock (`World.lock`) guards all of it. Time is the monotonic clock; wall times are only shown.
A host's *heartbeat* is its nova-compute's report to the database and, in the lab, the sign that the
host itself lives: it stops when the host's power is cut.
"""

import datetime
import heapq
import itertools
import os
import threading
import time
import uuid

NAMESPACE = uuid.UUID("6f1a3c1e-0f6b-4c0e-9d5b-6e6f76612d68")

# power_state of Nova's API
NOSTATE, RUNNING, PAUSED, SHUTDOWN = 0, 1, 3, 4


class Refused(Exception):
    """An answer that is not a success: the HTTP status and Nova's message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def wall(offset=0.0):
    stamp = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=offset)
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%f")


class Host:
    def __init__(self, name, number, spec, now):
        self.name = name
        self.number = number
        self.uuid = str(uuid.uuid5(NAMESPACE, "service:" + name))
        self.hypervisor_hostname = spec.get("hypervisor_hostname", name)
        self.host_ip = spec.get("host_ip", "10.77.1.%d" % number)
        self.disabled = bool(spec.get("disabled", False))
        self.disabled_reason = spec.get("disabled_reason")
        self.forced_down = bool(spec.get("forced_down", False))
        self.slots = spec.get("slots")           # how many guests fit; None: no limit
        self.instances_path = spec.get("instances_path")
        self.cell_down = False
        self.removed = False                     # its service was deleted from Nova
        self.alive = True                        # auto heartbeats only
        self.boot = None
        self.start = None
        self.last_beat = now
        self.last_beat_wall = wall()
        self.changed_wall = self.last_beat_wall  # its record was changed by the API
        self.beats = 0


class Guest:
    def __init__(self, name, spec):
        self.id = spec.get("id") or str(uuid.uuid5(NAMESPACE, "guest:" + name))
        self.name = name
        self.host = spec["host"]
        self.vm_state = spec.get("vm_state", "active")
        self.task_state = spec.get("task_state")
        self.power_state = spec.get("power_state", {"active": RUNNING, "paused": PAUSED}.get(self.vm_state, SHUTDOWN))
        self.locked = bool(spec.get("locked", False))
        self.locked_reason = spec.get("locked_reason")
        self.metadata = dict(spec.get("metadata", {}))
        self.volume_backed = bool(spec.get("volume_backed", False))
        self.volumes = list(spec.get("volumes", []))
        self.image = None if self.volume_backed else spec.get("image", str(uuid.uuid5(NAMESPACE, "image:tiny")))
        self.project = spec.get("project", "tenant-a")
        self.launched = bool(spec.get("launched", True))
        self.extra_specs = dict(spec.get("extra_specs", {}))
        self.disk_on = spec.get("disk_on")        # hosts that see its directory; None: all of them
        self.disk = "original"
        self.fate = spec.get("fate", "ok")
        self.fate_left = spec.get("fate_count")
        self.evacuate_seconds = spec.get("evacuate_seconds")
        self.deleted = False
        self.created = wall()
        self.updated = wall()
        self.fault = None
        self.actions = []
        self.running_on = {self.host} if self.vm_state in ("active", "paused", "rescued", "resized") else set()
        self.history = [{"host": self.host, "at": wall(), "how": "seed"}]

    @property
    def status(self):
        """The derived word; a recovery must not decide by it."""
        if self.task_state and self.task_state.startswith("rebuild"):
            return "REBUILD"
        return {"active": "ACTIVE", "stopped": "SHUTOFF", "error": "ERROR", "building": "BUILD",
                "rescued": "RESCUE", "resized": "VERIFY_RESIZE"}.get(self.vm_state, self.vm_state.upper())


class Migration:
    def __init__(self, number, guest, source_node, dest, version, request_id):
        self.id = number
        self.uuid = str(uuid.uuid4())
        self.guest = guest
        self.source_compute = guest.host
        self.source_node = source_node
        self.dest_compute = dest
        self.dest_node = None
        self.status = "accepted"
        self.type = "evacuation"
        self.version = version
        self.request_id = request_id
        self.created = wall()
        self.updated = None

    def become(self, status):
        self.status = status
        self.updated = wall()


class Move:
    """A live migration that a seed says was going on; nothing of it moves."""

    def __init__(self, number, guest, spec):
        self.id = number
        self.uuid = spec.get("uuid") or str(uuid.uuid4())
        self.guest = guest
        self.source_compute = spec.get("source", guest.host)
        self.source_node = self.source_compute
        self.dest_compute = spec.get("dest")
        self.dest_node = self.dest_compute
        self.status = spec.get("status", "running")
        self.type = spec.get("type", "live-migration")
        self.created = wall()
        self.updated = None


class World:
    def __init__(self, seed, log=None):
        self.lock = threading.RLock()
        self.wake = threading.Condition(self.lock)
        self.log = log or (lambda **fields: None)
        self.seed = seed
        self.started = time.monotonic()
        self.auto_heartbeats = seed.get("heartbeats", "manual") == "auto"
        self.service_down_seconds = float(seed.get("service_down_seconds", 6))
        self.evacuate_seconds = float(seed.get("evacuate_seconds", 2))
        self.max_limit = int(seed.get("max_limit", 1000))
        self.hosts = {}
        self.guests = {}
        self.migrations = []
        self.evacuate_posts = []
        self.violations = []
        self.events = []
        self.serial = itertools.count()
        for number, spec in enumerate(seed.get("hosts", []) + seed.get("ha_nodes", []), start=1):
            spec = {"name": spec} if isinstance(spec, str) else spec
            self.hosts[spec["name"]] = Host(spec["name"], number, spec, self.started)
        for spec in seed.get("guests", []):
            self.add_guest(spec)
        # As the APIs show them: aggregates by name, server groups with members by guest name, images by id
        # (an image of a guest that is not named here exists and has no properties).
        self.aggregates = list(seed.get("aggregates", []))
        self.server_groups = list(seed.get("server_groups", []))
        self.images = dict(seed.get("images", {}))
        self.moves = []
        for spec in seed.get("moves", []):
            self.add_move(spec)

    # guests

    def add_guest(self, spec):
        if spec.get("host") not in self.hosts:
            raise Refused(400, "guest %s: no host %s" % (spec.get("name"), spec.get("host")))
        guest = Guest(spec["name"], spec)
        self.guests[guest.id] = guest
        return guest

    def add_move(self, spec):
        self.moves.append(Move(10_000 + len(self.moves), self.guest(spec["guest"]), spec))

    def image(self, ref):
        """Glance v2: custom properties stand beside the image's own fields."""
        if ref not in self.images and all(g.image != ref for g in self.guests.values()):
            raise Refused(404, "No image found with ID %s" % ref)
        spec = self.images.get(ref, {})
        return {"id": ref, "name": "tiny", "status": "active", "min_disk": 0, "protected": False,
                "tags": spec.get("tags", []), **spec.get("properties", {})}

    def guest(self, ref):
        """By id or by name; deleted ones are gone."""
        found = self.guests.get(ref) or next((g for g in self.guests.values() if g.name == ref), None)
        if found is None or found.deleted:
            raise Refused(404, "Instance %s could not be found." % ref)
        return found

    def sees_disk(self, guest, host):
        """Nova's driver.instance_on_disk on that host: may its directory be written there?"""
        if guest.volume_backed:
            return False
        path = self.hosts[host].instances_path
        if path:
            return os.access(os.path.join(path, guest.id), os.W_OK)
        return guest.disk_on is None or host in guest.disk_on

    def moved_by_a_person(self, guest, host):
        """A cold migration from beginning to end: it is stopped on its host before it runs on the other one."""
        if host not in self.hosts:
            raise Refused(400, "guest %s: no host %s" % (guest.name, host))
        runs = bool(guest.running_on)
        guest.running_on = {host} if runs else set()
        guest.host = host
        guest.history.append({"host": host, "at": wall(), "how": "a person"})

    # services

    def is_up(self, host):
        """Nova's is_up: not forced down, and a report younger than service_down_time."""
        if host.forced_down:
            return False
        if self.auto_heartbeats and host.alive:
            return True
        return time.monotonic() - host.last_beat <= self.service_down_seconds

    def heartbeat(self, name, boot=None, start=None, guests=None):
        """A report from this host's nova-compute.

        `boot` names the boot of the host and `start` the start of nova-compute; a new one of either
        means what it means to Nova: after a boot no guest runs there, and a start settles the
        evacuations away from this host.
        """
        with self.lock:
            host = self.hosts.get(name)
            if host is None:
                raise Refused(404, "no host %s" % name)
            new_boot = boot is not None and host.boot is not None and boot != host.boot
            new_start = new_boot or (start is not None and host.start is not None and start != host.start)
            host.boot = boot if boot is not None else host.boot
            host.start = start if start is not None else host.start
            host.last_beat = time.monotonic()
            host.last_beat_wall = wall()
            host.beats += 1
            if new_boot:
                for guest in self.guests.values():
                    guest.running_on.discard(name)
            if guests is not None:
                for guest in self.guests.values():
                    if guest.name in guests or guest.id in guests:
                        guest.running_on.add(name)
                    else:
                        guest.running_on.discard(name)
            if new_start:
                self.settle(name)
            self.source_lives(name)

    def settle(self, name):
        """nova-compute starts: evacuated guests still here are destroyed, records `completed`.

        Real Nova does so to `accepted` and `pre-migrating` records as well, although those guests
        are not running anywhere else yet.
        """
        for migration in self.migrations:
            if migration.source_compute == name and migration.status in ("accepted", "pre-migrating", "done"):
                migration.guest.running_on.discard(name)
                migration.become("completed")

    def source_lives(self, name):
        """A sign of life from a host whose guests were evacuated: the one thing that must never be."""
        for migration in self.migrations:
            if migration.source_compute != name or name not in migration.guest.running_on:
                continue
            if migration.status in ("accepted", "pre-migrating"):
                self.violate("source_alive_during_evacuation", migration.guest, migration.id, hosts=[name])
            elif migration.status in ("done", "completed"):
                self.violate("two_hosts", migration.guest, migration.id, hosts=sorted(migration.guest.running_on))

    def violate(self, kind, guest, about, **fields):
        key = (kind, guest.id, about)
        if any(v["key"] == list(key) for v in self.violations):
            return
        self.violations.append({"key": list(key), "kind": kind, "guest": guest.name, "id": guest.id,
                                "at": wall(), **fields})
        self.log(event="violation", kind=kind, guest=guest.name, **fields)

    # time

    def after(self, seconds, action):
        with self.lock:
            heapq.heappush(self.events, (time.monotonic() + seconds, next(self.serial), action))
            self.wake.notify_all()

    def run(self):
        """Does what is due, for ever; runs in a thread of its own."""
        with self.lock:
            while True:
                now = time.monotonic()
                if not self.events:
                    self.wake.wait()
                elif self.events[0][0] > now:
                    self.wake.wait(self.events[0][0] - now)
                else:
                    heapq.heappop(self.events)[2]()
