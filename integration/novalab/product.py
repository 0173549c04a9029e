"""The product inside a lab: its executables on the machines, its tree in Consul, its checks and watches on the agents.

Everything goes through the product's own commands, as an administrator's would; only a token for each executable
(with ACLs on) is made here, as Consul's administrator makes them.
"""

import base64
import json
import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from novalab import bmc, cloud, consul, paths, recorded, redfish, sshd, storage, wait

FOLDER = "/opt/nova-ha/bin"
SECRETS = "/etc/nova-ha"
TOKENS = f"{SECRETS}/tokens"
CA_BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
GENERATED_ACL = "/var/lib/nova-ha/generated/acl"
CRON_FILE = "/etc/cron.d/nova-ha"
EXECUTABLES = ("nova-ha", "nova-ha-probe", "nova-ha-mark-failed", "nova-ha-runtime-info", "nova-ha-recover",
               "nova-ha-boot-guard")
# Which generated policy each token file of a machine carries; `{}` is the machine.
POLICIES = {
    "ha": {"probe": "nova-ha-probe-{}", "mark-failed": "nova-ha-mark-failed", "recover": "nova-ha-recover-{}",
           "operator": "nova-ha-operator"},
    "host": {"runtime-info": "nova-ha-runtime-info-{}", "boot-guard": "nova-ha-boot-guard-{}"},
}

# What the lab needs to be quick: a dead host is voted dead after about 3 * 3 s. An SSH login takes 0.2 s, and up to 2 s
# while the machine builds something: a deadline below that makes healthy hosts suspect, and the storm guard then rightly
# marks nobody for the length of a cool-down. Session TTL 10 s is the least that
# Consul takes; the lock-delay of 5 s bounds how long an adoption has to wait.
# On a machine that does other things beside, `NOVA_HA_LAB_PACE=3` probes a third as often with a deadline three times
# as long: a probe that times out for want of a processor is a suspect for the storm guard.
PACE = float(os.environ.get("NOVA_HA_LAB_PACE", "1"))
# Where machines have kernels of their own, a login takes a second while another of them boots or drops its caches.
KERNELS_PACE = 5 / 3


def paced(seconds):
    """A bound of so many seconds on a machine of our own, stretched as the probes are on one that does other things."""
    return seconds * max(1.0, PACE)


def policy(shape):
    """The policy of a lab, a scenario's own words last."""
    pace = PACE * (KERNELS_PACE if shape.uml_names() else 1)
    return {
        "probe_deadline": f"{2800 * pace:.0f}ms",
        "probe_interval": f"{3 * pace:g}s",
        "session_ttl": "10s",
        # The default of 5 s is for a longer TTL: a renewal comes every 2.5 s, and one that takes 2.5 s would end a run.
        "lease_margin": "2s",
        "lock_delay": "5s",
        # As the nova-computes of the lab are set, the simulated and the real ones.
        "nova_report_interval": "1s",
        # As the real Nova of the lab is set; the simulated one takes no token that was revoked.
        "nova_token_cache_time": "10s",
        # Nova here answers within it; scenario 41 has the default.
        "post_settle": "30s",
        **shape.policy,
    }


class Product:
    """The part of a Lab that knows the product."""

    def install_product(self, machine):
        """Puts the executables, the credentials and the cloud's address on a machine's disk; nothing is configured."""
        for name in EXECUTABLES:
            machine.link_file(f"{FOLDER}/{name}", paths.BIN_DIR / name)
        machine.link_file(f"{FOLDER}/start-recover", paths.REPO / "consul-watches" / "start-recover")
        if self.shape.acl:
            machine.install_file(f"{TOKENS}/bootstrap", self.consul.acl.bootstrap, 0o600)
        # A host needs none of these; they are on all that a role may be given to.
        if machine.kind == "ha" or not self.shape.canaries:
            machine.install_file(f"{SECRETS}/login_key", Path(self.login_key).read_bytes(), 0o600)
            machine.install_file("/etc/openstack/clouds.yaml", cloud.clouds_yaml(self.cloud_password()), 0o600)
            for other in self.machines.values():
                machine.install_file(self.bmc_password_file(other.name), other.bmc_password, 0o600)
                machine.install_file(self.ssh_password_file(other.name), other.ssh_password, 0o600)
        if (self.authority / "ca.pem").exists():
            authority = (self.authority / "ca.pem").read_bytes()
            machine.install_file(f"{SECRETS}/bmc-ca.pem", authority)
            if "agent-redfish" in self.shape.fences.values():
                # An agent knows the machine's own authorities only.
                machine.install_file(CA_BUNDLE, Path(CA_BUNDLE).read_bytes() + authority)
        for other in self.machines.values():
            key = other.folder / "host_key.pub"
            if key.exists():
                machine.install_file(f"{SECRETS}/host_keys/{other.name}.pub", key.read_bytes())
        if machine.kind == "ha":
            self._install_sweep(machine)

    def _install_sweep(self, machine):
        """The product's own cron file, unchanged, and the environment files that its lines read."""
        machine.install_file(CRON_FILE, (paths.REPO / "consul-watches" / "cron" / "nova-ha").read_bytes())
        for name in ("recover", "mark-failed"):
            env = {"PATH": f"{FOLDER}:/usr/sbin:/usr/bin:/sbin:/bin", "NOVA_HA_NODE": machine.name,
                   "CONSUL_HTTP_ADDR": consul.agent_address(self.shape.agent_socket), "OS_CLIENT_CONFIG_FILE": "/etc/openstack/clouds.yaml"}
            if self.shape.acl:
                env["CONSUL_HTTP_TOKEN_FILE"] = f"{TOKENS}/{name}"
            machine.install_file(f"{SECRETS}/{name}.env", "".join(f"{k}={v}\n" for k, v in env.items()))

    def sweep_service(self):
        """What PID 1 of an HA node starts in place of cron."""
        return {"name": "sweep", "argv": [paths.PYTHON, "-I", "-S", str(paths.HERE / "sweep.py"), CRON_FILE,
                                          str(self.shape.sweep_seconds)]}

    def configure(self):
        """Writes the tree by the product's commands from the first HA node, then gives every agent its checks."""
        for machine in self.machines.values():
            # Each machine learns the host keys of those that were made after it.
            self._install_host_keys(machine)
        if self.shape.recorded:
            recorded.configure(self)
            return
        if self.shape.imported:
            for entry in json.loads((paths.REPO / self.shape.imported).read_text(encoding="utf-8")):
                self.consul.put(entry["key"], base64.b64decode(entry["value"]).decode())
        more = ["--replace"] if self.shape.imported else []
        self.admin("nova-ha", "init")
        if self.shape.imported:
            # They say which formats they read: until then everything is written for a build of before.
            for machine in self.ha_nodes:
                self.product(machine.name, "nova-ha-recover", check=True)
        for key, value in policy(self.shape).items():
            if value is not None:
                self.admin("nova-ha", "policy", "set", key, value)
        for machine in self.hosts:
            self.add_host(machine.name, *more)
        for machine in self.ha_nodes:
            self.add_ha_node(machine.name, *more)
        if self.shape.acl:
            self.make_tokens()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self.deploy, self.machines))
            if self.shape.imported:
                list(pool.map(self._forget_arrays, [machine.name for machine in self.hosts]))
            # Consul runs this check for the first time somewhere in its five minutes.
            list(pool.map(self.publish, [machine.name for machine in self.hosts]))
            if self.disks and self.shape.arrays and self.shape.storage == "md":
                list(pool.map(lambda host: storage.start_by_the_guard(self, host.name), self.disks.hosts))
        if self.disks and not self.shape.imported:
            # Whose the arrays are is a person's word, as in docs/storage-md.md.
            self.admin("nova-ha", "host", "accept", "--all", "--by", "the lab", "--yes", "all")

    def _forget_arrays(self, name):
        """A person's word that the arrays of the imported tree are on no disk of this host."""
        published = json.loads(self.consul.get(f"ha_cluster/compute_nodes/{name}/internal/runtime_config") or "{}")
        for array in published.get("md_arrays", {}):
            self.product(name, "nova-ha-runtime-info", "--host", name, "--forget-array", array, check=True)

    def _install_host_keys(self, machine):
        for other in self.machines.values():
            machine.install_file(f"{SECRETS}/host_keys/{other.name}.pub", (other.folder / "host_key.pub").read_bytes())

    def add_host(self, name, *more):
        """`nova-ha host add` with what the lab knows about a host; `more` are further words of the command."""
        done = self.admin("nova-ha", "host", "add", name, *self._ways_in(name), *more)
        if self.fence_of(name) == "agent":
            # As an older build left it: an agent that is ipmitool is refused when it is newly set.
            self.consul.put(f"ha_cluster/compute_nodes/{name}/config/fence", json.dumps(self.fence_level(name)))
        return done

    def add_ha_node(self, name, *more):
        """`nova-ha ha-node add` likewise."""
        return self.admin("nova-ha", "ha-node", "add", name, "--os-cloud", "lab", "--targets",
                          json.dumps(self.shape.targets), *storage.words(self.shape), *self._ways_in(name), *more)

    def _ways_in(self, name):
        machine = self.machine(name)
        # One host is logged in to as the original did it, by password; the others by key.
        login = ["--ssh-password-file", self.ssh_password_file(name)] if name == "compute3" else ["--ssh-private-key-file", f"{SECRETS}/login_key"]
        words = ["--bmc-ip", machine.bmc_address, "--bmc-port", bmc.PORT, "--bmc-user", bmc.USER,
                 "--bmc-password-file", self.bmc_password_file(name), "--bmc-cipher", bmc.CIPHER,
                 "--bmc-identity", machine.uuid,
                 "--ssh-user", sshd.USER, *login, "--ssh-port", sshd.PORT,
                 "--ssh-address", machine.address, "--ssh-host-key-file", f"{SECRETS}/host_keys/{name}.pub"]
        level = self.fence_level(name)
        if level is not None and self.fence_of(name) != "agent":
            path = f"{SECRETS}/fence-{name}.json"
            for node in self.ha_nodes:
                node.install_file(path, json.dumps(level), 0o600)
            words += ["--fence-file", path]
        return words

    def bmc_password_file(self, name):
        """Where the HA nodes have the password of a machine's BMC."""
        return f"{SECRETS}/bmc_password" + (f"-{name}" if self.shape.canaries else "")

    def ssh_password_file(self, name):
        """Where they have the password of its login."""
        return f"{SECRETS}/ssh_password" + (f"-{name}" if self.shape.canaries else "")

    def fence_level(self, name):
        """The fence levels of a host that is not fenced by IPMI alone; None for those that are."""
        machine, kind = self.machine(name), self.fence_of(name)
        secret = f"file:{self.bmc_password_file(name)}"
        if kind == "redfish":
            level = {"driver": "redfish", "url": f"https://{machine.bmc_address}:{redfish.PORT}", "user": bmc.USER,
                     "password": secret, "ca": f"{SECRETS}/bmc-ca.pem"}
        elif kind == "agent":
            # An agent cannot say whose power it moves: a person has to have looked.
            level = {"driver": "agent", "agent": "fence_ipmilan", "identity_confirmed_by": "the lab",
                     "options": {"ip": machine.bmc_address, "ipport": str(bmc.PORT), "username": bmc.USER, "lanplus": "1",
                                 "cipher": str(bmc.CIPHER)},
                     "secret_options": {"password": secret}}
        elif kind == "agent-redfish":
            # Its password stands in the tree itself, as one that is no reference does.
            level = {"driver": "agent", "agent": "fence_redfish", "identity_confirmed_by": "the lab",
                     "options": {"ip": machine.bmc_address, "ipport": str(redfish.PORT), "username": bmc.USER, "ssl_secure": "1",
                                 "systems_uri": redfish.path(machine)},
                     "secret_options": {"password": machine.bmc_password}}
        else:
            return None
        return {"version": 1, "levels": [level]}

    def deploy(self, name, kind=None):
        """Generates the Consul config of one machine from the tree, puts it into its agent and reloads the agent.

        `kind` is host or ha where the machine's role is another one by now than it was made for.
        """
        machine = self.machine(name)
        kind = "--host" if (kind or machine.kind) == "host" else "--ha-node"
        out = f"/var/lib/nova-ha/generated/{name}"
        tokens = ["--token-dir", TOKENS] if self.shape.acl else []
        self.admin("nova-ha", "generate", "consul-config", kind, name, "--bin-dir", FOLDER, *tokens, "--out", out)
        for file, text in self.admin_machine().files(out, ".json").items():
            machine.install_file(f"/etc/consul.d/{Path(file).name}", text, 0o600)
        self.reload(name)

    def publish(self, name):
        """A host publishes what a recovery of it needs to know, as its own check does."""
        done = self.publishes(name)
        assert done.code == 0, f"on {name}: {done}"

    def publishes(self, name):
        """What a host says of what it publishes. Where its own check is at it in the same moment, again."""
        def alone():
            done = self.product(name, "nova-ha-runtime-info", "--host", name)
            return None if "it changed meanwhile" in done.out + done.err else done

        return wait.until(f"{name} is alone in publishing", alone, 60, 1)

    def reload(self, name):
        """The machine's Consul agent reads its config again."""
        self.machine(name).exec(paths.CONSUL, "reload", env=self.admin_env(), check=True)

    def make_tokens(self):
        """One policy and one token for each policy that the product generates; every machine gets its own ones.

        To be called again when a machine was added: the policies name every host.
        """
        self.admin("nova-ha", "generate", "acl", "--out", GENERATED_ACL)
        self.hand_out(self.admin_machine().files(GENERATED_ACL, ".hcl"))

    def hand_out(self, policies):
        """A token for each of these policies, `{file: rules}`; every machine gets its own ones."""
        for file, rules in policies.items():
            name = Path(file).name.removesuffix(".hcl")
            self.consul.make_policy_and_token(name, rules.decode(), self.token(name))
        for machine in self.machines.values():
            for name, policy in POLICIES[machine.kind].items():
                machine.install_file(f"{TOKENS}/{name}", self.token(policy.format(self.policy_name(machine.name))), 0o600)
            if not machine.latch.lives():
                # Its agent was given its own, and remembers it.
                continue
            # The agent's own: with it it registers its checks, and its watches look.
            secret = self.token(f"nova-ha-agent-{self.policy_name(machine.name)}")
            where = ["--unix-socket", consul.SOCKET, "http://localhost"] if self.shape.agent_socket else [consul.AGENT]
            for use in ("default", "agent"):
                machine.exec("curl", "-sSf", "-X", "PUT", "-H", f"X-Consul-Token: {self.consul.acl.bootstrap}", "-d",
                             json.dumps({"Token": secret}), *where[:-1], f"{where[-1]}/v1/agent/token/{use}", check=True)

    def policies(self):
        """The names of the generated policies, each of which has a token."""
        return [Path(file).stem for file in self.admin_machine().files(GENERATED_ACL, ".hcl")]

    @staticmethod
    def policy_name(name):
        """What the product makes of a machine's name in the name of its policy."""
        return name.replace(".", "_")

    def token(self, policy):
        """The token of a generated policy, the same at every call."""
        return str(uuid.uuid5(uuid.UUID(self.consul.acl.agent), policy))

    # Running it

    def admin_machine(self):
        """The HA node that an administrator uses: the first that lives, of those that share our kernel if there are any.

        A program starts in a machine with a kernel of its own ten times as slowly.
        """
        return next(m for m in sorted(self.ha_nodes, key=lambda m: m.has_disks) if m.latch.lives())

    def admin(self, *argv, check=True, **options):
        """Runs a command as the administrator on a living HA node."""
        return self.admin_machine().exec(*argv, check=check, env=self.admin_env(), **options)

    def product(self, name, *argv, check=False, env=None, **options):
        """Runs one of the product's executables on a machine; with ACLs on, with that executable's own token."""
        token = {}
        if self.shape.acl:
            file = "operator" if argv[0] == "nova-ha" else argv[0].removeprefix("nova-ha-")
            token = {"CONSUL_HTTP_TOKEN_FILE": f"{TOKENS}/{file}"}
        return self.machine(name).exec(*argv, check=check, env={**token, **(env or {})}, **options)

    def admin_env(self):
        """The environment of an administrator's command: with ACLs on, where the bootstrap token is."""
        return {"CONSUL_HTTP_TOKEN_FILE": f"{TOKENS}/bootstrap"} if self.consul.acl else {}

    # Looking at it

    def flag(self, host, flag):
        """A host's `failed` or `recovered`, read from Consul: True, False, or None where the key is absent."""
        text = self.consul.get(f"ha_cluster/compute_nodes/{host}/status/{flag}")
        return None if text is None else text.strip().lower() in ("true", "t", "yes", "1")

    def guests(self):
        """The cloud's guests by name; `running_on` are the hosts on which each really runs.

        The cloud learns only from a heartbeat that a host has booted since; until then, and for a host that stays off
        for ever, it believes that everything still runs there. What lives, the lab knows.
        """
        state = self.cloud.state()
        carrying = {h for h, told in state["hosts"].items() if self.carries_guests(h, told["boot"])}
        found = {g["name"]: g for g in state["guests"] if not g["deleted"]}
        for guest in found.values():
            guest["running_on"] = [h for h in guest["running_on"] if h in carrying]
        return found

    def carries_guests(self, host, boot):
        """Whether guests that were started in this boot of a host can still run: it lives, and has not booted since."""
        machine = self.machine(host)
        if not machine.latch.lives():
            return False
        try:
            return boot is None or machine.boot_id() == boot
        except (OSError, AssertionError):
            # It died, or its PID 1 is only making its /run, while this was read.
            return False

    def evacuations(self):
        """Every evacuate POST that the cloud saw."""
        return self.cloud.evacuations()

    def kill_recover(self, name):
        """SIGKILL to every nova-ha-recover on an HA node; returns how many there were."""
        return self.machine(name).kill_processes("nova-ha-recover")

    def stop_recoveries(self, name):
        """From now on nothing on an HA node starts a recovery by itself: neither its watch nor its cron."""
        self._stop_running(name, "watches", "start-recover")
        for word in ("sweep.py", "start-recover", "nova-ha-recover"):
            self.machine(name).kill_processes(word)

    def stop_publishing(self, name):
        """From now on a host publishes only what a scenario tells it to: its agent does so at moments of its own."""
        self._stop_running(name, "checks", "nova-ha-runtime-info")
        self.machine(name).kill_processes("nova-ha-runtime-info")

    def _stop_running(self, name, kind, program):
        """Takes the watches, or the checks of the product's service, that run a program from a machine's agent."""
        machine = self.machine(name)
        for file, text in machine.files("/etc/consul.d", ".json").items():
            config = json.loads(text)
            stopped = 0
            for of in [config, *config.get("services", [])]:
                entries = of.get(kind, [])
                kept = [entry for entry in entries if not any(program in str(word) for word in entry.get("args", []))]
                stopped += len(entries) - len(kept)
                if kind in of:
                    of[kind] = kept
            if stopped:
                machine.install_file(f"/etc/consul.d/{file}", json.dumps(config), 0o600)
        self.reload(name)

    def recover(self, name, *words, **options):
        """Runs nova-ha-recover on an HA node as the sweep would, and waits for its end."""
        return self.product(name, "nova-ha-recover", *words, **options)

    def together(self, names, *argv, timeout=60):
        """Runs a program on several machines in the same instant; returns `{name: exit code}`."""
        # All wait for one file that they share; what they do after it appears is a loop of a few microseconds.
        signal_file = f"/dev/shm/nova-ha-lab/{self.run_name}/go-{uuid.uuid4().hex}"
        script = f'until [ -e {signal_file} ]; do :; done; exec "$@"'
        started = {name: self.machine(name).spawn("timeout", str(timeout), "sh", "-c", script, "sh", *argv,
                                                  env=self.admin_env(), log="together.log") for name in names}
        time.sleep(0.3)
        Path(signal_file).touch()
        codes = {name: child.wait(timeout + 5) for name, child in started.items()}
        Path(signal_file).unlink()
        return codes

    def wait_observed(self, timeout=90):
        """Until every observer's check of every machine that it watches is passing."""
        def missing():
            bad = []
            for node in self.ha_nodes:
                if not node.latch.lives():
                    continue
                # The sweep and runtime-info run for the first time at a random moment of their long intervals.
                checks = {i: c for i, c in self.consul.checks(node.name).items() if i.startswith("nova-ha-probe:")}
                bad += [f"{node.name}/{i}: {status}" for i, (status, _) in checks.items() if status != "passing"]
                if not checks:
                    bad.append(f"{node.name}: no checks")
            return bad

        last = []

        def all_pass():
            last[:] = missing()
            return not last

        try:
            wait.until("every probe is passing", all_pass, timeout, 0.2)
        except wait.Timeout:
            raise wait.Timeout(f"not within {timeout} s passing: {last}") from None
