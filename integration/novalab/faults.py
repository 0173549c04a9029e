"""What can be done to a running lab. `../README.md` has the same list with what each failure leaves alive.

Each is recorded as an event. Faults of the network live on the bridge and outlast a reboot of the machine behind the
port, except a panic's silence, which is the machine's own.
"""

import os
import signal
import time

from novalab import bmc, consul, events, redfish, wait

# Debian's package fence-agents has it in no PATH.
KDUMP_SEND = "/usr/libexec/fence-agents/fence_kdump_send"


class Faults:
    """The part of a Lab that breaks things. Names of machines are strings everywhere."""

    # Machines

    def cut(self, name):
        """Power lost: the link goes down, then everything dies; the latch reads off. A BMC of its own lives on."""
        self._tell("cut", name)
        self.machine(name).latch.off("cut by the scenario")

    def panic(self, name):
        """The kernel dies with the power on: nothing answers, no RST, no ping; the link is up and the BMC reads on."""
        self._tell("panic", name)
        machine = self.machine(name)
        self.network.drop("silent", machine.index)
        machine.panic()

    def dump(self, name, messages, interval=1):
        """A panic whose crash kernel writes a dump: the real fence_kdump_send tells every HA node so, and nothing else lives.

        It is told `messages` times (0: without end), every `interval` seconds; a power cut ends it, and `end_dump`.
        """
        self._tell("dump", name, messages=messages, interval=interval)
        machine = self.machine(name)
        self.panic(name)
        self.network.drop("dumping", machine.index)
        self.registry.start(f"kdump-{name}", [KDUMP_SEND, "-f", "ipv4", "-c", messages, "-i", interval,
                                              *(node.address for node in self.ha_nodes)],
                            namespace=self.network.namespace(name))

    def dumps(self, name):
        """Whether a machine's crash kernel still announces its dump (to anyone, while it has power)."""
        return self.registry.running(f"kdump-{name}")

    def end_dump(self, name):
        """The dump is written: its crash kernel says no more."""
        self._tell("end_dump", name)
        self.registry.kill(f"kdump-{name}")

    def hang(self, name):
        """Every process stops (SIGSTOP), the kernel lives: ping and the TCP handshake work, nobody speaks after it."""
        self._tell("hang", name)
        self.machine(name).signal_all(signal.SIGSTOP)

    def unhang(self, name):
        """The processes of a hung machine run on, as after a storage stall."""
        self._tell("unhang", name)
        self.machine(name).signal_all(signal.SIGCONT)

    def power_on(self, name):
        """A person presses the button: boots a machine whose latch is off, with the identity and disk it had."""
        self._tell("power_on", name)
        self.machine(name).latch.on("switched on by the scenario")

    def reboot(self, name):
        """Reset: everything dies and the machine boots again at once."""
        self._tell("reboot", name)
        self.machine(name).latch.reset("reset by the scenario")

    def cut_site(self):
        """The whole site loses power: every machine and every Consul server (the BMCs, the cloud and a shelf live on)."""
        for name in self.machines:
            self.cut(name)
        for server in consul.SERVERS:
            self._tell("kill_consul", server)
            self.consul.kill(server)

    def power_on_site(self):
        """Power returns: the servers with the data they had, then every machine. Returns before anything is elected."""
        for server in consul.SERVERS:
            self._tell("start_consul", server)
            self.consul.start(server)
        for name in self.machines:
            self.power_on(name)

    def slow_boot(self, name, seconds):
        """From its next boot on, the machine takes this long until its first service starts."""
        self._tell("slow_boot", name, seconds=seconds)
        self.machine(name).change_spec(lambda spec: spec["services"][0].update(delay=seconds))

    def kill_nova_compute(self, name):
        """Only nova-compute dies on the machine; the rest lives, guests too."""
        self._tell("kill_nova_compute", name)
        self.machine(name).kill_processes(self.cloud.compute_word)

    def report_as(self, name, other):
        """A living machine reports to Nova as another one, beside its own reports (simulated cloud): a copied nova.conf."""
        self._tell("report_as", name, other=other)
        machine = self.machine(name)

        def add(spec):
            own = next(s for s in spec["services"] if s["name"] == "nova-compute")
            argv = [other if word == name else word for word in own["argv"]]
            spec["services"].append({**own, "name": f"nova-compute-as-{other}", "argv": argv})

        machine.change_spec(add)
        machine.start(f"nova-compute-as-{other}")

    def kill_sshd(self, name):
        """Only sshd dies: port 22 is refused at once."""
        self._tell("kill_sshd", name)
        self.machine(name).kill_processes("sshd")

    def start_service(self, name, service):
        """Starts `sshd`, `consul` or `nova-compute` of a machine again."""
        self._tell("start_service", name, service=service)
        self.machine(name).start(service)

    # Network

    def unplug(self, name):
        """The cable is pulled: carrier lost, everything on the machine lives on. Outlasts a reboot."""
        self._tell("unplug", name)
        machine = self.machine(name)
        (machine.folder / "unplugged").touch()
        self.network.link(machine.index, up=False)

    def replug(self, name):
        """The cable is plugged in again."""
        self._tell("replug", name)
        machine = self.machine(name)
        (machine.folder / "unplugged").unlink(missing_ok=True)
        self.network.link(machine.index, up=True)

    def isolate(self, name):
        """Every frame to and from the machine is dropped in the switch; its link stays up and it lives on."""
        self._tell("isolate", name)
        self.network.drop("isolated", self.port(name))

    def rejoin(self, name):
        """Ends an isolation."""
        self._tell("rejoin", name)
        self.network.undrop("isolated", self.port(name))

    def partition(self, one, *others):
        """No frame passes between `one` and each of `others`, both ways. Nodes: machines, bmc-NAME, s1.., cloud."""
        self._tell("partition", one, others=list(others))
        for other in others:
            a, b = self.port(one), self.port(other)
            self.network.drop("apart", a, b)
            self.network.drop("apart", b, a)

    def mend(self, one, *others):
        """Ends a partition."""
        self._tell("mend", one, others=list(others))
        for other in others:
            a, b = self.port(one), self.port(other)
            self.network.undrop("apart", a, b)
            self.network.undrop("apart", b, a)

    def heal_network(self):
        """Ends every isolation, partition and silence (not a pulled cable)."""
        self._tell("heal_network", "network")
        self.network.heal()

    def flap(self, name, times=3, down=0.8, up=1.2):
        """Pulls and plugs the cable several times; blocks for times * (down + up) seconds and ends plugged."""
        self._tell("flap", name, times=times)
        for _ in range(times):
            self.unplug(name)
            time.sleep(down)
            self.replug(name)
            time.sleep(up)

    # BMCs

    def kill_bmc(self, name):
        """The BMC dies silently: its cable is pulled and its process killed, requests to it time out."""
        self._tell("kill_bmc", name)
        machine = self.machine(name)
        self.network.link(self.port(bmc.node(machine)), up=False)
        self.registry.kill(bmc.node(machine))

    def revive_bmc(self, name, wait_for_it=True):
        """The BMC boots again."""
        self._tell("revive_bmc", name)
        machine = self.machine(name)
        self.network.link(self.port(bmc.node(machine)), up=True)
        if not self.registry.running(bmc.node(machine)):
            self.start_bmc(machine)
        if wait_for_it:
            self.wait_for_bmc(machine)

    def stick_bmc(self, name, stuck=True):
        """The BMC says OK to every power command and does nothing; its reading stays true."""
        self._flag(name, "stuck", stuck)

    def lie_bmc(self, name, lies=True):
        """The BMC reads off whatever is true, and does nothing."""
        self._flag(name, "lies", lies)

    def slow_bmc(self, name, seconds):
        """The BMC says OK at once; the power moves `seconds` later (0: at once again)."""
        self._flag(name, "slow", bool(seconds), str(seconds))

    def swap_bmcs(self, one, other):
        """Someone swapped the cables: each BMC keeps its address and identity but moves the other's power."""
        self._tell("swap_bmcs", one, other=other)
        for mine, theirs in ((one, other), (other, one)):
            (bmc.folder(self.machine(mine)) / "victim").write_text(theirs, encoding="utf-8")

    # Consul

    def kill_consul_leader(self):
        """SIGKILL to the leading server; returns its name."""
        leader = self.consul.wait_for_leader()
        self._tell("kill_consul_leader", leader)
        self.consul.kill(leader)
        return leader

    def restart_consul(self, server):
        """Starts a killed server again and waits until it answers."""
        self._tell("restart_consul", server)
        self.consul.start(server)
        wait.until(f"{server} answers", lambda: self.consul.ask("/v1/status/leader", server=server), 20)

    def restore_consul(self, file):
        """Consul is restored from a snapshot (`lab.consul.save(file)`): all that was written since is forgotten."""
        self._tell("restore_consul", "consul", file=str(file))
        self.consul.restore(file)

    def leave(self, name):
        """The machine's Consul agent leaves gracefully and ends: its node vanishes from health, nothing turns critical."""
        self._tell("leave", name)
        self.machine(name).exec(*self.consul_program("leave"), env=self.admin_env(), check=True)

    def consul_program(self, *words):
        """A command line of the consul program."""
        from novalab import paths
        return [paths.CONSUL, *words]

    # Reading

    def reads_on(self, name):
        """What the machine's BMC answers when asked for the power, over the network. None: no answer."""
        machine = self.machine(name)
        namespace = self.network.namespace(consul.SERVERS[0])
        if self.has_redfish(name):
            plain = self.fence_of(name) == "redfish_http"
            code, out = redfish.curl(machine, self.authority, namespace, redfish.url(machine, plain))
            if code != 0 or '"PowerState"' not in out:
                return None
            return '"PowerState": "On"' in out
        code, out = bmc.ipmitool(machine, "chassis", "power", "status", namespace=namespace, retries=4)
        if code != 0:
            return None
        return out.endswith("is on")

    def power_reads(self, name):
        """What its BMC answers once it does: one request that is lost says nothing about the power."""
        def answer():
            reading = self.reads_on(name)
            return None if reading is None else (reading,)

        return wait.until(f"the BMC of {name} answers", answer, 30)[0]

    def _flag(self, name, flag, wanted, text=""):
        self._tell(flag, name, wanted=wanted, value=text)
        path = bmc.folder(self.machine(name)) / flag
        if wanted:
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink(missing_ok=True)

    def _tell(self, fault, machine, **details):
        events.record(os.fspath(self.state), "fault", fault=fault, machine=machine, **details)
