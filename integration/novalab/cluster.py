"""A whole lab: what it consists of, bringing it up, taking it down.

    lab = Lab.create(Shape(hosts=3)); lab.up(); ...; lab.down()

Everything about a run is in its state folder, so that another process can take hold of it again (`Lab.attach`).
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

from novalab import bmc, cloud, consul, events, net, paths, processes, redfish, sshd, wait
from novalab.faults import Faults
from novalab.incidents import Incidents
from novalab.machine import Machine, services_env
from novalab.openstack.cloud import OpenStack
from novalab.product import Product
from novalab.shape import Shape
from novalab.uml import shelf
from novalab.uml.disks import SharedDisks
from novalab.uml.guests import GuestStorage
from novalab.uml.machine import UmlMachine
from novalab.words import Words

# Ports of the bridge: servers 201.., the cloud 210, machines by their index, BMCs 100 above their machine.
SERVER_PORTS, CLOUD_PORT, BMC_PORTS = 200, 210, 100


# The event of a part that was started again while the lab was brought up; its `what` is for people.
AGAIN = "started again"
# How often a machine's Consul agent is, while the lab is brought up.
AGENT_RESTARTS = 2


class NotUp(wait.Timeout):
    """What the lab is made of did not come up in time. Nothing of the product was there yet, so it says nothing of the product."""


class Lab(Faults, Product, Incidents):
    """One run. Its methods for scenarios are in faults.py, product.py, incidents.py and here."""

    def __init__(self, run, shape):
        self.run_name = run
        self.shape = shape
        self.words = Words(run, shape.canaries)
        self.state = paths.state_dir(run)
        self.network = net.Network(run)
        self.registry = processes.Registry(self.state)
        self.consul = consul.Consul(self.state, self.network, self.registry, consul.Acl(run) if shape.acl else None, shape.consul_nodes)
        self.authority = self.state / "authority"
        self.login_key = self.state / "login_key"
        hosts, ha_nodes = shape.host_names(), shape.ha_names()
        kinds = [(name, "host") for name in hosts] + [(name, "ha") for name in ha_nodes]
        self.machines = {name: self._machine(name, kind, index) for index, (name, kind) in enumerate(kinds, start=1)}
        self.cloud = self._cloud()
        self.hosts = [self.machines[name] for name in hosts]
        self.ha_nodes = [self.machines[name] for name in ha_nodes]
        # The machine in which the disks are, if the shape says so: none of `machines`.
        self.shelf = shelf.make(self.state, self.run_name) if shape.shelf else None
        # Where machines have kernels and disks of their own; else None, and arrays too.
        self.disks = SharedDisks(self.state, self.hosts, self.ha_nodes, self.shelf) if shape.uml_names() else None
        self.arrays = GuestStorage(self.disks, self.machines, shape.bitmap, shape.partitioned) if self.disks else None
        self.allowed_shots = set()
        self.allowed_alive = set()
        self.allowed_rebuilds = set()

    def _machine(self, name, kind, index):
        if name in self.shape.uml_names():
            return UmlMachine(self.state, self.run_name, name, kind, index, self.shape.uml_options())
        machine = Machine(self.state, self.run_name, name, kind, index)
        machine.bmc_password = self.words.word(f"the BMC of {name}", bmc.PASSWORD)
        machine.ssh_password = self.words.word(f"the login to {name}", sshd.PASSWORD)
        return machine

    def _cloud(self):
        kind = self.shape.cloud
        if kind == "simulated":
            return cloud.Cloud(self.state, self.network, self.registry)
        if kind == "openstack":
            return OpenStack(self.state, self.network, self.registry, self.machines, self.shape.instances)
        if kind == "none":
            return None
        raise ValueError(f"{kind} is no cloud: simulated, openstack or none")

    @classmethod
    def create(cls, shape, owner=None):
        """A new run. `owner` is a pid with whose end the run is stale; None: it stays until `down`."""
        run = secrets.token_hex(2)
        paths.state_dir(run).mkdir(parents=True)
        lab = cls(run, shape)
        record = {"shape": asdict(shape), "owner": [owner, processes.start_time(owner)] if owner else None}
        (lab.state / "lab.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
        return lab

    @classmethod
    def attach(cls, run):
        """Takes hold of a run that is up."""
        record = json.loads((paths.state_dir(run) / "lab.json").read_text(encoding="utf-8"))
        return cls(run, Shape(**record["shape"]))

    # Finding things

    def machine(self, name):
        """A host or HA node by name, or the shelf."""
        found = {machine.name: machine for machine in self.with_shelf()}
        if name not in found:
            raise LookupError(f"no machine {name}: there are {', '.join(found)}")
        return found[name]

    def with_shelf(self):
        """Every machine, and the shelf if there is one."""
        return [*self.machines.values(), *([self.shelf] if self.shelf else [])]

    def port(self, node):
        """The bridge port number of a node: a machine, bmc-NAME, s1.., cloud."""
        if node in consul.SERVERS:
            return SERVER_PORTS + consul.SERVERS.index(node) + 1
        if node == cloud.NODE:
            return CLOUD_PORT
        if node.startswith("bmc-"):
            return BMC_PORTS + self.machine(node[4:]).index
        return self.machine(node).index

    def fence_of(self, name):
        """ipmi, redfish, redfish_http, agent or agent-redfish."""
        return self.shape.fences.get(name, "ipmi")

    def has_redfish(self, name):
        """Whether its BMC speaks Redfish, whoever talks to it."""
        return self.fence_of(name) in ("redfish", "redfish_http", "agent-redfish")

    # Up

    def up(self):
        """Brings everything up and waits until Consul sees every machine; returns the seconds of each stage.

        Raises NotUp where the machine was too busy for the lab's own parts, and whatever the product's commands raise.
        """
        stages, started = {}, time.monotonic()

        def done(stage):
            stages[stage] = round(time.monotonic() - started, 2)

        try:
            self._parts_up(done)
        except wait.Timeout as error:
            raise NotUp(str(error)) from error
        if self.shape.product:
            self.configure()
            done("product configured")
            if self.shape.observed:
                self.wait_observed()
                done("observers see all healthy")
        events.record(self.state, "up", stages=stages)
        return stages

    def _parts_up(self, done):
        self._lay_out()
        done("laid out")
        if self.shelf:
            self.shelf.latch.on("lab up")
        for server in consul.SERVERS:
            self.consul.start(server)
        if self.cloud:
            self.cloud.start()
        for machine in self.machines.values():
            self.start_bmc(machine)
        done("started")
        if self.shape.acl:
            # Agents whose token is unknown would try again only after a while.
            self.consul.wait_for_leader()
            self.consul.make_agent_token()
        if self.shelf:
            self.shelf.wait_up()
            done("shelf booted")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda m: m.latch.on("lab up"), self.machines.values()))
        done("machines booted")
        self.consul.wait_for_leader()
        done("Consul has a leader")
        if self.cloud:
            self.cloud.wait_ready()
        for machine in self.machines.values():
            machine.wait_up()
            self._wait_for_first_agent(machine)
        done("agents passing")
        for machine in self.machines.values():
            self.wait_for_bmc(machine)
        done("BMCs answer")
        if self.disks and self.shape.arrays:
            self.make_arrays()
            done("arrays made")
        if self.cloud:
            self.make_guests()
            done("guests made")

    def _lay_out(self):
        self.network.create()
        nodes = [(s, SERVER_PORTS + i, self.consul.address(s)) for i, s in enumerate(consul.SERVERS, start=1)]
        nodes += [(bmc.node(m), BMC_PORTS + m.index, m.bmc_address) for m in self.machines.values()]
        if self.cloud:
            nodes.append((cloud.NODE, CLOUD_PORT, cloud.ADDRESS))
            self.cloud.install(self._cloud_seed())
        for name, port, address in nodes:
            self.network.add_node(name, port, address)
        self.consul.install()
        sshd.make_key(self.login_key, "nova-ha")
        if any(map(self.has_redfish, self.machines)):
            redfish.make_authority(self.authority)
        for machine in self.machines.values():
            self._install(machine)
        if self.shelf:
            self.network.create_storage()
            self.shelf.install(self.network, [], services_env(), self._hosts_file())
        if self.disks:
            self.disks.install(self.shape.disks_per_host, self.shape.disk_mb, self.shape.partitioned)

    def make_arrays(self):
        """On each host with disks an array with a disk for each of its guests: see uml/guests.py."""
        placed = {}
        for guest in (self.cloud.guests() if self.cloud else {}).values():
            placed.setdefault(guest["host"], []).append(guest["id"])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda host: self.arrays.make(host.name, placed.get(host.name, [])), self.disks.hosts))

    def make_guests(self):
        """The cloud's guests that are not there yet; on a host with an array their disks are filled and summed."""
        there = set(self.cloud.guests())
        self.cloud.make_guests()
        if self.disks and self.shape.arrays:
            new = [guest for name, guest in self.cloud.guests().items() if name not in there]
            for host in self.disks.hosts:
                self.arrays.fill(host.name, [guest["id"] for guest in new if guest["host"] == host.name])

    def _install(self, machine):
        services = [sshd.service(), consul.agent_service()]
        if machine.name in (self.shape.computes() if self.cloud else []):
            services.append(self.cloud.compute_service(machine))
        if self.shape.product and machine.kind == "ha":
            services.append(self.sweep_service())
        env = services_env(consul.agent_address(self.shape.agent_socket))
        machine.install(self.network, services, env, self._hosts_file())
        sshd.install(machine, self.login_key)
        consul.install_agent(machine, self.consul.acl, self.consul.node(machine.name), self.shape.agent_socket)
        self.install_product(machine)
        if self.cloud:
            self.cloud.install_machine(machine)
        if self.has_redfish(machine.name):
            redfish.install(machine, self.authority, self.fence_of(machine.name) == "redfish_http")
        else:
            bmc.install(machine)

    def _hosts_file(self):
        lines = ["127.0.0.1 localhost", f"{cloud.ADDRESS} {cloud.NODE}", f"{net.ANCHOR} anchor"]
        lines += [f"{m.address} {m.name}" for m in self.machines.values()]
        lines += [f"{m.bmc_address} {bmc.node(m)}" for m in self.machines.values()]
        lines += [f"{self.consul.address(s)} {s}" for s in consul.SERVERS]
        return "\n".join(lines) + "\n"

    def _cloud_seed(self):
        seed = {"guests": self.shape.guest_seeds(), "evacuate_seconds": 1.5}
        if self.shape.cloud == "openstack":
            seed["computes"] = self.shape.computes()
        else:
            seed.update(hosts=self.shape.host_names(), ha_nodes=self.shape.ha_names(), heartbeats="manual",
                        service_down_seconds=6)
        seed.update(self.shape.cloud_seed)
        if self.shape.canaries:
            admin = {"name": cloud.USER, "password": self.cloud_password(), "project": cloud.PROJECT}
            seed["users"] = [admin, *seed.get("users", [])]
        return seed

    def cloud_password(self):
        """The cloud's administrator's."""
        return self.words.word("the cloud's administrator", cloud.PASSWORD)

    def start_bmc(self, machine):
        """Starts a machine's BMC."""
        (redfish if self.has_redfish(machine.name) else bmc).start(machine, self.registry, self.network)

    def wait_for_bmc(self, machine):
        """Until a machine's BMC answers a power reading."""
        wait.until(f"the BMC of {machine.name} answers", lambda: self.reads_on(machine.name) is not None, 60)

    def wait_for_agent(self, name, status="passing", timeout=90):
        """Until Consul gives a machine's serfHealth this status (None: the node is unknown)."""
        wait.until(f"serfHealth of {name} is {status}", lambda: (self.consul.serf_health(name) == status) or None, timeout)

    def _wait_for_first_agent(self, machine):
        """The same while the lab is brought up: an agent that gave up because the machine was busy is started again, and said."""
        left, seen, ended_with = AGENT_RESTARTS, 0, None

        def passes():
            nonlocal left, seen, ended_with
            if self.consul.serf_health(machine.name) == "passing":
                return True
            reason, seen = consul.gave_up(machine.folder / "log" / "consul.log", seen)
            ended_with = ended_with or reason
            if ended_with and left and not machine.processes(consul.agent_service()["argv"][-1]):
                events.record(self.state, AGAIN, what=f"Consul's agent of {machine.name} had ended with {ended_with!r}: started again")
                left, ended_with = left - 1, None
                machine.start("consul")
            return None
        wait.until(f"serfHealth of {machine.name} is passing", passes, 90)

    # Looking

    def shots(self, machine=None):
        """The commands to take power away (off, reset) that BMCs received, from the chassis program's own record.

        Each with `bmc` (who was asked), `machine` (whose power it moves), `via`, `obeyed`, `at`.
        """
        found = [e for e in events.read(self.state, "command") if e["what"] in ("off", "reset")]
        return [e for e in found if machine in (None, e["machine"])]

    def is_powered(self, name):
        """Whether the machine's latch is on: the truth, whatever its BMC says."""
        return self.machine(name).latch.is_on()

    def lives(self, name):
        """Whether the machine's PID 1 lives."""
        return self.machine(name).latch.lives()

    def assert_power(self, name, expected):
        """Fails unless the machine's latch is `on` or `off`."""
        assert expected in ("on", "off"), expected
        found = "on" if self.is_powered(name) else "off"
        assert found == expected, f"the power of {name} is {found}, expected {expected}"

    def may_be_shot(self, *names):
        """Tells the safety check at the end that these machines may lose their power by a BMC's command."""
        self.allowed_shots.update(names)

    def may_be_evacuated_alive(self, *names):
        """Tells it that these machines' guests may be evacuated with the power on (a BMC that lies cannot be caught)."""
        self.allowed_alive.update(names)

    def may_be_rebuilt(self, *names):
        """Tells it that these guests' disks may be built anew from the image (to show that Nova would)."""
        self.allowed_rebuilds.update(names)

    # Down

    def down(self):
        """Kills what is in this run's namespaces and what its registry started, deletes both and the state."""
        for machine in self.with_shelf():
            if machine.latch.lives():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(machine.latch.identity()[0], signal.SIGKILL)
        self.registry.kill_all()
        deadline = time.monotonic() + 5
        # Whatever else still lives in a namespace that only this run has, is this run's.
        while left := [pid for pids in self.network.pids().values() for pid in pids]:
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"processes of run {self.run_name} survive SIGKILL: {left}")
            time.sleep(0.01)
        self.network.destroy()
        shutil.rmtree(self.state, ignore_errors=True)

    def keep_logs(self, name):
        """Copies every log of the run (no secrets' files, no disks) to a folder that outlives it; returns it."""
        target = Path(paths.KEPT_LOGS) / f"{name}-{self.run_name}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.state / "log", target / "services")
        for machine in self.with_shelf():
            machine.say_what_hangs()
            for name, folder in machine.log_folders().items():
                if folder.is_dir():
                    shutil.copytree(folder, target / machine.name / name, dirs_exist_ok=True)
        for extra in (self.state / "events.jsonl", *(self.state / "cloud").glob("*.jsonl")):
            if extra.exists():
                shutil.copy(extra, target / extra.name)
        return target


def stale_runs():
    """Runs whose owner is gone: a test run that was killed."""
    found = []
    for run in paths.runs():
        try:
            record = json.loads((paths.state_dir(run) / "lab.json").read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            continue
        if record["owner"] and not processes.alive(tuple(record["owner"])):
            found.append(run)
    return found
