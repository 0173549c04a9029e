"""The lab's hypervisor, a driver for the real nova-compute: Nova's fake one, with disks and a memory that can be looked at.

What Nova's fake driver keeps in a process's memory is kept here as libvirt keeps it:

* a *domain* (one JSON file in /var/lib/nova/domains) outlasts nova-compute and a power cut; the guest in it runs only
  as long as the boot in which it was started;
* a guest has a directory below `instances_path` with a disk in it. A disk that is not there is built from the image,
  which is what destroys data when Nova is wrong about where the disk is. Each built disk has a serial of its own, in its
  first line; what follows is the guest's.

Everything that happens is a line of JSON in $NOVALAB_HYPERVISOR_LOG.
"""

import json
import os
import shutil
import time
import uuid

import nova.conf
from nova.compute import power_state, task_states
from nova.virt import fake

CONF = nova.conf.CONF
DOMAINS = "/var/lib/nova/domains"
# A number of seconds in this file of the run is how long a rebuild takes to spawn.
PACE_FILE = "NOVALAB_EVACUATE_SECONDS"
# A guest whose metadata has this stands still in the step that it names, until the host dies or an hour is over.
STANDS_STILL = "lab:stands_still"
SPAWN, MIGRATE, LIVE = "spawn", "migrate", "live"


def boot_id():
    """The boot of this machine."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()


def say(event, guest, **details):
    """Appends one line; O_APPEND keeps lines of several hosts whole."""
    line = {"at": round(time.time(), 3), "host": CONF.host, "boot": boot_id(), "guest": guest, "event": event, **details}
    with open(os.environ["NOVALAB_HYPERVISOR_LOG"], "a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


class Domain:
    """One guest as this hypervisor knows it; a changed state is on disk before it is true."""

    def __init__(self, name, state, guest):
        self.name = name
        self.uuid = guest
        self._state = state

    def __getitem__(self, key):
        return getattr(self, key)

    @property
    def state(self):
        """Nova's power state."""
        return self._state

    @state.setter
    def state(self, state):
        if state != self._state:
            self._state = state
            self.save()

    def save(self):
        """Writes the file and tells."""
        path = os.path.join(DOMAINS, self.uuid + ".json")
        with open(path + ".new", "w", encoding="utf-8") as file:
            json.dump({"name": self.name, "state": self._state, "boot": boot_id()}, file)
        os.replace(path + ".new", path)
        say("power", self.uuid, state=self._state, running=self._state in (power_state.RUNNING, power_state.PAUSED))


class Domains(dict):
    """All domains; what the fake driver puts in or takes out is on disk too."""

    def __init__(self):
        super().__init__()
        os.makedirs(DOMAINS, exist_ok=True)
        for file in os.listdir(DOMAINS):
            if file.endswith(".json"):
                with open(os.path.join(DOMAINS, file), encoding="utf-8") as known:
                    record = json.load(known)
                # Of an earlier boot: defined, and shut off by the power cut.
                state = record["state"] if record["boot"] == boot_id() else power_state.SHUTDOWN
                guest = file.removesuffix(".json")
                super().__setitem__(guest, Domain(record["name"], state, guest))

    def __setitem__(self, guest, instance):
        domain = Domain(instance.name, instance.state, guest)
        domain.save()
        super().__setitem__(guest, domain)

    def __delitem__(self, guest):
        super().__delitem__(guest)
        os.unlink(os.path.join(DOMAINS, guest + ".json"))
        say("power", guest, state=power_state.NOSTATE, running=False)


class LabDriver(fake.FakeDriverWithoutFakeNodes):
    """A host with disks."""

    def init_host(self, host):
        """Finds what an earlier nova-compute of this host left."""
        super().init_host(host)
        os.makedirs(CONF.instances_path, exist_ok=True)
        self.instances = Domains()
        say("started", None, domains=sorted(self.instances), disks=sorted(os.listdir(CONF.instances_path)))

    def get_host_ip_addr(self):
        """The machine's own, as a real driver's."""
        return CONF.my_ip

    def _folder(self, instance):
        return os.path.join(CONF.instances_path, instance.uuid)

    def instance_on_disk(self, instance):
        """As libvirt's: whether the guest's directory may be written."""
        there = os.access(self._folder(instance), os.W_OK)
        say("looked", instance.uuid, on_disk=there)
        return there

    @staticmethod
    def _stand_still(instance, step):
        if instance.metadata.get(STANDS_STILL) == step:
            say("stands still", instance.uuid, step=step)
            time.sleep(3600)

    def spawn(self, context, instance, *args, **kwargs):
        """Keeps the disk that is there, else builds one from the image."""
        self._stand_still(instance, SPAWN)
        if instance.task_state == task_states.REBUILD_SPAWNING:
            self._take_time()
        disk = os.path.join(self._folder(instance), "disk")
        if os.path.exists(disk):
            with open(disk, "rb") as file:
                say("kept", instance.uuid, serial=json.loads(file.readline())["serial"])
        else:
            serial = str(uuid.uuid4())
            self._build(instance, disk, serial)
            say("built", instance.uuid, serial=serial)
        return super().spawn(context, instance, *args, **kwargs)

    def _build(self, instance, disk, serial):
        """A disk whose first line says which it is. It belongs to whom the guests' folder belongs to, as libvirt's dynamic ownership."""
        os.makedirs(self._folder(instance), exist_ok=True)
        with open(disk, "w", encoding="utf-8") as file:
            file.write(json.dumps({"serial": serial, "built_on": CONF.host, "image": instance.image_ref}) + "\n")
            file.flush()
            os.fsync(file.fileno())
        owner = os.stat(CONF.instances_path)
        for path in (self._folder(instance), disk):
            os.chown(path, owner.st_uid, owner.st_gid)

    @staticmethod
    def _take_time():
        try:
            with open(os.environ[PACE_FILE], encoding="utf-8") as file:
                time.sleep(float(file.read()))
        except (KeyError, FileNotFoundError):
            return

    def destroy(self, context, instance, network_info, block_device_info=None, destroy_disks=True, destroy_secrets=True):
        """Ends the guest; its directory goes too where Nova says so."""
        say("destroyed", instance.uuid, disks=destroy_disks, had=os.path.exists(self._folder(instance)))
        super().destroy(context, instance, network_info, block_device_info, destroy_disks, destroy_secrets)
        if destroy_disks:
            shutil.rmtree(self._folder(instance), ignore_errors=True)

    # Whether two hosts see one directory: a file that one makes and the other looks for, as libvirt does it.

    def check_instance_shared_storage_local(self, context, instance):
        """Makes a file in the guest's directory; None where there is no directory."""
        folder = self._folder(instance)
        if not os.path.exists(folder):
            return None
        path = os.path.join(folder, f"tmp-{uuid.uuid4().hex}")
        with open(path, "w", encoding="utf-8"):
            return {"filename": path}

    def check_instance_shared_storage_remote(self, context, data):
        """Whether the other host's file is here."""
        return os.path.exists(data["filename"])

    def check_instance_shared_storage_cleanup(self, context, data):
        """Takes the file away."""
        if os.path.exists(data["filename"]):
            os.unlink(data["filename"])

    # States that the fake driver does not move.

    def pause(self, instance):
        """Still in memory."""
        self.instances[instance.uuid].state = power_state.PAUSED

    def unpause(self, instance):
        """Runs on."""
        self.instances[instance.uuid].state = power_state.RUNNING

    def suspend(self, context, instance):
        """Its memory is on disk, as libvirt's managed save."""
        self.instances[instance.uuid].state = power_state.SHUTDOWN

    def resume(self, context, instance, network_info, block_device_info=None, share_info=None):
        """Runs on."""
        self.instances[instance.uuid].state = power_state.RUNNING

    def migrate_disk_and_power_off(self, context, instance, *args, **kwargs):
        """The source's half of a cold migration or resize."""
        self.instances[instance.uuid].state = power_state.SHUTDOWN
        self._stand_still(instance, MIGRATE)
        return super().migrate_disk_and_power_off(context, instance, *args, **kwargs)

    def live_migration(self, context, instance, *args, **kwargs):
        """The source's half of a live migration."""
        self._stand_still(instance, LIVE)
        return super().live_migration(context, instance, *args, **kwargs)
