"""What `evacuate` does: the API's refusals at once, conductor and compute afterwards.

A guest's `fate` says how its next evacuations end: `ok`; `failed` (the rebuild raised: migration
`failed`, guest ERROR); `rollback` (the claim was refused: migration `failed`, guest as it was);
`no-valid-host` (migration `error`, guest ERROR); `stuck` (the target died: nothing moves any more).
"""

from .microversions import text, truth
from .world import RUNNING, SHUTDOWN, Migration, Refused, wall

EVACUABLE = ("active", "stopped", "error")
# Shares of the whole time at which a rebuild shows itself: claimed, host written, then `done`.
CLAIMED, MOVED = 0.1, 0.9


def evacuate(world, guest, version, body, request_id):
    """The synchronous part. Raises Refused as the API does; returns the new migration."""
    inner = body["evacuate"]
    target = inner.get("host")
    shared = truth(inner.get("onSharedStorage")) if version < (2, 14) else None
    force = truth(inner.get("force", False)) if version >= (2, 29) else None
    if shared and "adminPass" in inner:
        raise Refused(400, "admin password can't be changed on existing disk")
    if force and not target:
        raise Refused(400, "Can't force to a non-provided destination")
    if target is not None and (target not in world.hosts or world.hosts[target].removed):
        raise Refused(404, "Compute host %s not found." % target)
    if target == guest.host:
        raise Refused(400, "The target host can't be the same one.")
    if not guest.launched or guest.vm_state not in EVACUABLE:
        raise Refused(409, "Cannot 'evacuate' instance %s while it is in vm_state %s" % (guest.id, guest.vm_state))
    source = world.hosts[guest.host]
    if source.cell_down:
        raise Refused(500, "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/ and attach "
                           "the Nova API log if possible.\n<class 'oslo_db.exception.DBConnectionError'>")
    if world.is_up(source):
        raise Refused(400, "Compute service of %s is still in use." % guest.host)

    # Nova since 26 does not look at task_state: a second evacuate beside a running one is accepted.
    if any(m.guest is guest and m.status in ("accepted", "pre-migrating") for m in world.migrations):
        world.violate("second_evacuate", guest, request_id)
    guest.task_state = "rebuilding"
    guest.updated = wall()
    migration = Migration(len(world.migrations) + 1, guest, source.hypervisor_hostname, target, version, request_id)
    world.migrations.append(migration)
    action = {"action": "evacuate", "request_id": request_id, "start_time": wall(), "message": None, "events": []}
    guest.actions.append(action)
    Rebuild(world, migration, action, shared, validated=force is False and target is not None).begin()
    return migration


class Rebuild:
    """The asynchronous part, one timed step after the other."""

    def __init__(self, world, migration, action, shared, validated):
        self.world = world
        self.migration = migration
        self.guest = migration.guest
        self.action = action
        self.shared = shared
        self.validated = validated
        self.was = (self.guest.vm_state, self.guest.power_state)
        seconds = self.guest.evacuate_seconds
        self.seconds = world.evacuate_seconds if seconds is None else seconds
        self.fate = self.guest.fate
        if self.fate != "ok" and self.guest.fate_left is not None:
            self.guest.fate_left -= 1
            if self.guest.fate_left <= 0:
                self.guest.fate, self.guest.fate_left = "ok", None

    def begin(self):
        world = self.world
        if world.auto_heartbeats and world.hosts[self.migration.source_compute].alive:
            world.violate("source_alive_during_evacuation", self.guest, self.migration.id,
                          hosts=[self.migration.source_compute])
        world.after(self.seconds * CLAIMED, self.schedule)

    def valid(self, host):
        """The scheduler's filters: alive, enabled, room."""
        used = sum(1 for g in self.world.guests.values() if g.host == host.name and not g.deleted)
        return (not host.removed and host.name != self.migration.source_compute and self.world.is_up(host) and not host.disabled
                and (host.slots is None or used < host.slots))

    def schedule(self):
        """Conductor: choose a host, or check the named one, or (2.0 to 2.28, forced) take it as it is."""
        world, migration = self.world, self.migration
        if self.over():
            return
        self.event("rebuild_server", "conductor")
        if migration.dest_compute is None or self.validated:
            named = migration.dest_compute
            fits = [h for h in world.hosts.values() if self.valid(h) and named in (None, h.name)]
            if self.fate == "no-valid-host" or not fits:
                migration.become("error")
                self.end("error", "No valid host was found. There are not enough hosts available.")
                return
            fits.sort(key=lambda h: (sum(1 for g in world.guests.values() if g.host == h.name), h.number))
            migration.dest_compute = fits[0].name
        elif self.fate == "no-valid-host":
            migration.become("error")
            self.end("error", "No valid host was found. %s has no room." % migration.dest_compute)
            return
        self.claim()

    def claim(self):
        """The target's nova-compute takes the request from its queue, if it lives."""
        world, migration = self.world, self.migration
        if self.over():
            return
        dest = world.hosts[migration.dest_compute]
        if not world.is_up(dest):
            world.after(0.2, self.claim)
            return
        if self.fate == "rollback":
            migration.become("failed")
            self.end(self.was[0], "Insufficient compute resources: Free memory 0.00 MB < requested 64 MB.")
            return
        migration.dest_node = dest.hypervisor_hostname
        migration.become("pre-migrating")
        self.event("compute_rebuild_instance", dest.name)
        if self.fate == "stuck":
            return
        on_disk = world.sees_disk(self.guest, dest.name)
        if self.shared is not None and self.shared != on_disk:
            self.fail("Invalid state of instance files on shared storage")
            return
        if not on_disk and not self.guest.volume_backed:
            self.guest.disk = "rebuilt from image"
            world.violate("disk_rebuilt_from_image", self.guest, migration.id, hosts=[dest.name])
        if self.fate == "failed":
            world.after(self.seconds * (MOVED - CLAIMED), lambda: self.fail("Unexpected error while running command."))
        else:
            world.after(self.seconds * (MOVED - CLAIMED), self.move)

    def fail(self, why):
        if not self.over():
            self.migration.become("failed")
            self.end("error", why)

    def move(self):
        """Spawned: the server's host is the target's now, although the migration is not `done` yet."""
        world, guest, migration = self.world, self.guest, self.migration
        if self.over():
            return
        vm_state = self.was[0]
        if vm_state == "error":
            # Nova applies the target state STOPPED of 2.95 not to a guest in ERROR.
            vm_state = "active"
        elif migration.version >= (2, 95):
            vm_state = "stopped"
        elsewhere = guest.running_on - {migration.source_compute, migration.dest_compute}
        if elsewhere:
            world.violate("two_hosts", guest, migration.id, hosts=sorted(elsewhere | {migration.dest_compute}))
        if world.auto_heartbeats and not world.hosts[migration.source_compute].alive:
            guest.running_on.discard(migration.source_compute)
        if vm_state == "active":
            guest.running_on.add(migration.dest_compute)
            if len(guest.running_on) > 1 and world.auto_heartbeats:
                world.violate("two_hosts", guest, migration.id, hosts=sorted(guest.running_on))
        guest.host = migration.dest_compute
        guest.vm_state = vm_state
        guest.power_state = RUNNING if vm_state == "active" else SHUTDOWN
        guest.task_state = "rebuild_spawning"
        guest.updated = wall()
        guest.history.append({"host": guest.host, "at": wall(), "how": "evacuate", "migration": migration.id})
        world.log(event="moved", guest=guest.name, source=migration.source_compute, dest=guest.host)
        world.after(self.seconds * (1 - MOVED), self.done)

    def done(self):
        if self.migration.status == "pre-migrating":
            self.migration.become("done")
        self.end(self.guest.vm_state, None)

    def over(self):
        """Deleted meanwhile, or settled by the source's return."""
        if self.guest.deleted and self.migration.status in ("accepted", "pre-migrating"):
            self.migration.become("error")
        return self.guest.deleted or self.migration.status not in ("accepted", "pre-migrating")

    def event(self, name, host):
        self.action["events"].append({"event": name, "start_time": wall(), "finish_time": None, "result": None,
                                      "host": host})

    def end(self, vm_state, why):
        guest = self.guest
        guest.vm_state = vm_state
        guest.task_state = None
        guest.updated = wall()
        guest.fault = {"code": 500, "created": wall(), "message": why} if why and vm_state == "error" else None
        for event in self.action["events"]:
            event["finish_time"] = event["finish_time"] or wall()
            event["result"] = event["result"] or ("Error" if why else "Success")
        self.action["message"] = "Error" if why else None
        self.world.log(event="evacuation", guest=guest.name, migration=self.migration.id,
                       status=self.migration.status, version=text(self.migration.version), why=why)
