"""The real cloud of a run, with the interface that the simulated one has for scenarios (`novalab/cloud.py`)."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from novalab import events, wait, web
from novalab.openstack import api, catalog, compute, places, plane, template, truth

ADDRESS = places.ADDRESS
# Of a boot of three hosts on a busy machine of two cores.
READY_SECONDS = 150
# A service makes its row before it listens, and reports after. What is sent to it in between is lost: nobody keeps a
# call for a queue that is not there yet, the caller waits for its 60 s (rpc_response_timeout), and a guest whose
# conductor asked a scheduler so is in error (MessagingTimeout). A longer time-out would only be a longer wait.
LISTENS = "SELECT COUNT(*) FROM nova.services WHERE `binary` = '{}' AND updated_at IS NOT NULL"
# What makes a guest that is active be in another state.
VERBS = {"stopped": {"os-stop": None}, "paused": {"pause": None}, "suspended": {"suspend": None}, "rescued": {"rescue": {}},
         "error": {"os-resetState": {"state": "error"}}}


class OpenStack:
    """The control plane, the nova-computes of the machines, and what is known of both."""

    kind = "openstack"
    # What the command line of a machine's nova-compute has in it.
    compute_word = "nova_service.py nova-compute"

    def __init__(self, state, network, registry, machines, instances="shared"):
        self.state_folder = Path(state)
        self.folder = self.state_folder / "cloud"
        self.network = network
        self.namespace = network.namespace(places.NODE)
        self.machines = machines
        self.instances = instances
        self.plane = plane.Plane(self.folder, self.namespace, registry)
        self.api = api.Api(self.namespace)
        self.live_moves = set()

    # Up

    def install(self, seed):
        """Lays out its folders and its databases, and keeps the seed: computes and guests."""
        self.folder.mkdir(parents=True)
        (self.folder / "seed.json").write_text(json.dumps(seed, indent=1), encoding="utf-8")
        (self.folder / "instances").mkdir()
        if seed.get("evacuate_seconds"):
            self.pace(seed["evacuate_seconds"])
        self.plane.lay_out()

    def seed(self):
        """What `install` was given."""
        return json.loads((self.folder / "seed.json").read_text(encoding="utf-8"))

    def start(self):
        """Starts everything and waits for little of it: `wait_ready` does."""
        template.fill(self.plane)
        for name in ("mariadb", "rabbitmq", "neutron", "gate"):
            self.plane.start(name)
        self.plane.wait_database()
        self._map_hosts()
        for name in plane.SERVICES:
            if not self.plane.running(name):
                self.plane.start(name)

    def _map_hosts(self):
        """Tells Nova's API database in which cell each host is.

        `nova-manage cell_v2 discover_hosts` writes the same row, after every nova-compute has reported and for four
        seconds of a processor; nothing else reads the difference.
        """
        rows = "".join("INSERT INTO host_mappings (created_at, cell_id, host) SELECT UTC_TIMESTAMP(), id, "
                       f"'{host}' FROM cell_mappings WHERE name = 'cell1';" for host in self.seed()["computes"])
        self.plane.sql(f"USE nova_api; {rows}")

    def wait_ready(self, timeout=READY_SECONDS):
        """Until every service answers and every nova-compute reports."""
        wait.until("nova-conductor listens", lambda: self._listens("nova-conductor"), timeout, 0.2)
        (self.folder / "conductor").touch()
        wait.until("keystone answers", self.api.log_in, timeout, 0.3)
        wait.until("nova-api answers", lambda: self.api.nova("GET", "/os-services") is not None, timeout, 0.3)
        computes = set(self.seed()["computes"])
        wait.until("every nova-compute reports", lambda: self._reporting() >= computes, timeout, 0.3)
        # A service reports before its host has told placement what there is to be had.
        wait.until("placement knows every host", lambda: self._providers() >= len(computes), timeout, 0.3)
        wait.until("nova-scheduler listens", lambda: self._listens("nova-scheduler"), timeout, 0.3)
        self.plane.wait_port("glance", ADDRESS, places.GLANCE, timeout)
        catalog.ensure_flavor(self.api)

    def make_guests(self):
        """Makes the guests of the seed, once what their disks lie on is there."""
        self.set_guests(*self.seed()["guests"])

    def _listens(self, binary):
        """Whether a service of the control plane takes calls: it has reported. Only of a bring-up: the row outlasts it."""
        return self.plane.sql(LISTENS.format(binary)).strip() != "0"

    def _reporting(self):
        """Hosts that reported. A service is up when it is made, and for Nova down again until its first report."""
        return {name for name, s in self.services().items() if s["state"] == "up" and s["updated_at"]}

    def _providers(self):
        path = "/allocation_candidates?resources=VCPU:1,MEMORY_MB:64"
        found = self.api.call(places.PLACEMENT, "GET", path, headers={"OpenStack-API-Version": "placement 1.36"})
        return len(found["provider_summaries"])

    def running(self):
        """Whether it can be asked."""
        return self.plane.running("nova-api") and self.plane.running("mariadb")

    # In the machines

    def compute_service(self, machine):
        """What a machine's PID 1 starts."""
        return compute.service(machine, self.folder)

    def install_machine(self, machine):
        """Puts the config and the identity of its nova-compute onto a machine's disk."""
        compute.install(machine, self.folder / "instances" if self.instances == "shared" else None)

    # Doing

    def pace(self, seconds):
        """How long a rebuild takes to spawn on the target, beside Nova's own work."""
        (self.folder / "evacuate_seconds").write_text(str(seconds), encoding="utf-8")

    def fault(self, **spec):
        """Injects a fault of Nova's API: see `simcloud/faults.py`."""
        self._gate("POST", "faults", spec)

    def heal(self):
        """Takes every fault of the API away."""
        self._gate("DELETE", "faults")

    def _gate(self, method, what, body=None):
        return web.call(self.namespace, method, ADDRESS, places.NOVA, f"/_sim/{what}", body)

    def kill_service(self, *names):
        """SIGKILL to services of the control plane (plane.SERVICES). The kernel lives: connections are refused."""
        for name in names:
            events.record(self.state_folder, "fault", fault="kill_service", machine=name)
        self.plane.kill(*names)

    def start_service(self, *names):
        """Starts them again and returns at once."""
        for name in names:
            events.record(self.state_folder, "fault", fault="start_service", machine=name)
            self.plane.start(name)

    def api_away(self):
        """nova-api is gone: its port refuses, as that of a host whose service has died."""
        self.kill_service("nova-api", "gate")

    def api_back(self, timeout=120):
        """It is started again, and answers."""
        self.start_service("nova-api", "gate")
        wait.until("nova-api answers", lambda: self.api.nova("GET", "/os-services") is not None, timeout, 0.3)

    def set_guests(self, *specs):
        """Makes or changes guests by name, and waits until Nova shows them so.

        A new one: `name`, `host`, `vm_state` (active, or one of VERBS), `locked` with `locked_reason`, `metadata`, `group`
        (id of a server group). A known one: `vm_state`, `locked`, `deleted`.
        """
        known = {row["name"]: row["id"] for row in self.servers()}
        new = [spec for spec in specs if spec["name"] not in known]
        image = catalog.image(self.api) if new else None
        with ThreadPoolExecutor(8) as pool:
            known.update(zip([spec["name"] for spec in new], pool.map(lambda spec: self._boot(spec, image), new)))
            self._wait_guests({known[spec["name"]]: "active" for spec in new})
            list(pool.map(lambda spec: self._shape(spec, known[spec["name"]]), specs))
        wanted = {known[spec["name"]]: spec["vm_state"] for spec in specs if spec.get("vm_state") in VERBS}
        self._wait_guests(wanted)
        self._wait_deleted({known[spec["name"]] for spec in specs if spec.get("deleted")})

    def _boot(self, spec, image):
        server = {"name": spec["name"], "imageRef": image, "flavorRef": catalog.FLAVOR,
                  "networks": "none", "host": spec["host"], "metadata": spec.get("metadata", {})}
        body = {"server": server}
        if spec.get("group"):
            body["os:scheduler_hints"] = {"group": spec["group"]}
        return self.api.nova("POST", "/servers", body)["server"]["id"]

    def begin_guest(self, spec):
        """Asks for a guest and does not wait for it; its id."""
        return self._boot(spec, catalog.image(self.api))

    def _wait_guests(self, wanted, timeout=120):
        """Until each of `{id: vm_state}` is in that state with nothing under way; one in error is an error at once."""
        def missing():
            rows = {row["id"]: row for row in self.servers()}
            broken = [rows[ref] for ref, state in wanted.items()
                      if ref in rows and rows[ref]["OS-EXT-STS:vm_state"] == "error" != state]
            if broken:
                raise RuntimeError(f"{broken[0]['name']} is in error: {broken[0].get('fault', {}).get('message')}")
            return [ref for ref, state in wanted.items()
                    if ref not in rows or (rows[ref]["OS-EXT-STS:vm_state"], rows[ref]["OS-EXT-STS:task_state"]) != (state, None)]

        wait.until("the guests are as they should be", lambda: not wanted or not missing(), timeout, 0.3)

    def _wait_deleted(self, refs, timeout=120):
        def gone():
            return not refs & {row["id"] for row in self.servers()}

        wait.until("the guests are deleted", lambda: not refs or gone(), timeout, 0.3)

    def _shape(self, spec, ref):
        if spec.get("deleted"):
            self.api.nova("DELETE", f"/servers/{ref}")
            return
        if spec.get("vm_state") in VERBS:
            self.act(ref, VERBS[spec["vm_state"]])
        if "locked" in spec:
            self.act(ref, {"lock": {"locked_reason": spec.get("locked_reason", "by the scenario")}} if spec["locked"]
                     else {"unlock": None})

    def hide_disk(self, name):
        """Takes a guest's directory out of the shared storage: no host sees it any more."""
        ref = next(row["id"] for row in self.servers() if row["name"] == name)
        (self.folder / "hidden").mkdir(exist_ok=True)
        (self.folder / "instances" / ref).rename(self.folder / "hidden" / ref)

    def act(self, ref, body, version=api.VERSION):
        """An action on a server, past the gate: nobody's record has it."""
        return self.api.nova("POST", f"/servers/{ref}/action", body, version)

    # Looking

    def servers(self, deleted=False):
        """Nova's servers of all tenants, as it shows them."""
        query = "&deleted=1" if deleted else ""
        return self.api.nova("GET", f"/servers/detail?all_tenants=1{query}")["servers"]

    def services(self):
        """`{host: nova-compute service}`"""
        return {s["host"]: s for s in self.api.nova("GET", "/os-services?binary=nova-compute")["services"]}

    def hypervisor(self, *names):
        """The hypervisors' log: all of it, or the events with these names."""
        found = compute.read_logs(self.machines.values(), self.folder)
        return [e for e in found if not names or e["event"] in names]

    def power(self):
        """The lab's record of power transitions."""
        return events.read(self.state_folder, *truth.ENDS)

    def disks(self, host):
        """The guests whose directory is on a machine's disk (or on the shared storage), by id."""
        if self.instances == "shared":
            return sorted(p.name for p in (self.folder / "instances").iterdir() if p.is_dir())
        return compute.guests_on(self.machines[host])

    def evacuate_posts(self):
        """Every evacuate POST that reached the gate, in order, with the `guest`'s name; a `status` of None has no answer."""
        names = {row["id"]: row["name"] for row in self.servers() + self.servers(deleted=True)}
        return [{**post, "guest": names.get(post["id"])} for post in self._posts()]

    def _posts(self):
        with (self.folder / "requests.jsonl").open(encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry["post"] for entry in found if entry.get("event") == "evacuate"]

    def evacuations(self):
        """The same: the simulated cloud's name for it."""
        return self.evacuate_posts()

    def requests(self):
        """Every request that passed the gate, as the simulated cloud's `requests`."""
        with (self.folder / "requests.jsonl").open(encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in found if entry.get("event") == "request"]

    def guests(self):
        """`{name: guest}`"""
        return {g["name"]: g for g in self.state()["guests"] if not g["deleted"]}

    def state(self):
        """What exists and what was asked, in the words of `simcloud/backdoor.py`."""
        log, power = self.hypervisor(), self.power()
        posts = self.evacuate_posts()
        living = self.servers()
        rows = living + [r for r in self.servers(deleted=True) if r["id"] not in {s["id"] for s in living}]
        names = {row["id"]: row["name"] for row in rows}
        gone = set(names) - {s["id"] for s in living}
        running, rebuilt = truth.running_on(log, power), truth.rebuilt(log)
        guests = [self._guest(row, row["id"] in gone, running, rebuilt, log) for row in rows]
        migrations = [self._migration(row, names, posts, log) for row in self.migrations()]
        return {"at": time.time(), "hosts": self._hosts(guests), "guests": guests, "evacuate_posts": posts,
                "migrations": migrations, "violations": self._violations(log, power, names, rebuilt)}

    def migrations(self):
        """Nova's records of evacuations, oldest first."""
        found = self.api.nova("GET", "/os-migrations?migration_type=evacuation")["migrations"]
        return sorted(found, key=lambda m: m["id"])

    def _hosts(self, guests):
        found = {}
        for host, service in self.services().items():
            machine = self.machines[host]
            boot = machine.boot_id() if machine.latch.lives() else None
            found[host] = {"up": service["state"] == "up", "forced_down": service["forced_down"],
                           "disabled": service["status"] == "disabled", "disabled_reason": service["disabled_reason"],
                           "boot": boot, "running": sorted(g["name"] for g in guests if host in g["running_on"])}
        return found

    @staticmethod
    def _guest(row, deleted, running, rebuilt, log):
        return {"name": row["name"], "id": row["id"], "host": row["OS-EXT-SRV-ATTR:host"], "deleted": deleted,
                "vm_state": row["OS-EXT-STS:vm_state"], "task_state": row["OS-EXT-STS:task_state"],
                "power_state": row["OS-EXT-STS:power_state"], "locked": row["locked"], "fault": row.get("fault"),
                "disk": "rebuilt from image" if row["id"] in rebuilt else "original",
                "running_on": running.get(row["id"], []), "history": truth.history(log, row["id"])}

    @staticmethod
    def _migration(row, names, posts, log):
        """Nova keeps whole seconds: the begin of the post that made the record is the better time.

        A record that is `completed` was over when it was `done`, which Nova has forgotten; the target had the guest then.
        """
        created = seconds(row["created_at"])
        mine = [post for post in posts if post["id"] == row["instance_uuid"] and post["status"] in (None, 200, 202)]
        near = min(mine, key=lambda post: abs(seconds(post["at"]) - created), default=None)
        exact = near and abs(seconds(near["at"]) - created) < 3
        updated = row["updated_at"]
        spawned = [e["at"] for e in truth.history(log, row["instance_uuid"])
                   if e["host"] == row["dest_compute"] and e["at"] >= created]
        if row["status"] == "completed" and spawned:
            updated = datetime.fromtimestamp(spawned[0], UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
        return {"id": row["id"], "uuid": row["uuid"], "guest": names.get(row["instance_uuid"], row["instance_uuid"]),
                "status": row["status"], "created_at": near["at"] if exact else row["created_at"],
                "updated_at": updated, "source_compute": row["source_compute"],
                "dest_compute": row["dest_compute"], "request_id": near["request_id"] if exact else None}

    def moves_live(self, *refs):
        """Tells the safety checks that these guests (ids) are migrated live: for a moment both hosts have them."""
        self.live_moves.update(refs)

    def _violations(self, log, power, names, rebuilt):
        found = [{"kind": "two_hosts", "guest": names.get(guest, guest), "hosts": hosts, "at": at}
                 for guest, hosts, at in truth.two_hosts(log, power, self.live_moves)]
        return found + [{"kind": "disk_rebuilt_from_image", "guest": names.get(guest, guest), "hosts": [host]}
                        for guest, host in rebuilt.items()]


def seconds(stamp):
    """Nova's and the gate's UTC stamps as seconds since the epoch."""
    return datetime.fromisoformat(stamp.rstrip("Z")).replace(tzinfo=UTC).timestamp()
