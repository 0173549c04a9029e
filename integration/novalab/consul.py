"""Consul: three servers in namespaces of their own, and the agent that each machine runs.

The servers are apart from the HA nodes so that killing an HA node never costs Consul its quorum; a scenario that
wants that kills servers by name.
"""

import base64
import json
import os
import re
import subprocess
import uuid
from pathlib import Path

from novalab import paths, wait, web

HTTP = 8500
# Where a machine's agent is asked, and where the shape wants that nobody but root reaches it.
AGENT, SOCKET = f"http://127.0.0.1:{HTTP}", "/run/consul.sock"
DATACENTER = "lab"
SERVERS = ("s1", "s2", "s3")
# A service of somebody else on every HA node.
OTHER_SERVICE = "keystone"

# A cut machine's serfHealth goes critical in 4 to 7 s: the suspicion time is suspicion_mult * max(1, log10(nodes)) *
# probe_interval, 3 s here, plus the probe cycle that first misses it. Where no second node comes to suspect it, memberlist
# waits six times as long, 18 s: whoever waits for it must allow for that.
# Lower values make agents of a busy two-core machine suspect each other.
GOSSIP = {"probe_interval": "1s", "probe_timeout": "500ms", "suspicion_mult": 3, "gossip_interval": "100ms"}


def version():
    """(major, minor) of the consul that the lab runs."""
    out = subprocess.run([paths.CONSUL, "version"], capture_output=True, text=True, timeout=20, check=True).stdout
    found = re.search(r"v(\d+)\.(\d+)", out)
    return int(found.group(1)), int(found.group(2))


class Acl:
    """The tokens of a run with ACLs on, default deny. Fixed before anything starts, so that agents are given theirs."""

    def __init__(self, seed):
        def token(name):
            return str(uuid.uuid5(uuid.UUID("9a3c7f60-0000-4000-8000-6e6f76616861"), f"{seed}/{name}"))

        self.bootstrap = token("bootstrap")
        self.agent = token("agent")

    AGENT_RULES = 'node_prefix "" { policy = "write" }\nservice_prefix "" { policy = "read" }\n'


def _common(name, address, acl):
    config = {
        "node_name": name, "datacenter": DATACENTER, "bind_addr": address, "log_level": "INFO",
        "disable_update_check": True, "gossip_lan": GOSSIP, "leave_on_terminate": False,
        "skip_leave_on_interrupt": True, "retry_interval": "1s",
        "retry_join": [f"10.77.0.{i}" for i in range(1, len(SERVERS) + 1)],
        "ports": {"grpc": -1, "dns": -1},
    }
    if acl:
        initial = "master" if version() < (1, 11) else "initial_management"
        config["acl"] = {"enabled": True, "default_policy": "deny", "down_policy": "extend-cache",
                         # What product.py gives an agent later must outlive the agent's restart.
                         "enable_token_persistence": True, "tokens": {"agent": acl.agent, "default": ""}}
        config["_initial"] = initial
    return config


def server_config(name, address, data_dir, acl):
    """The config of one of the three servers."""
    config = _common(name, address, acl)
    initial = config.pop("_initial", None)
    if initial:
        config["acl"]["tokens"][initial] = acl.bootstrap
    config.update({"server": True, "bootstrap_expect": len(SERVERS), "data_dir": str(data_dir),
                   "client_addr": "0.0.0.0", "performance": {"raft_multiplier": 1}})
    return config


def agent_address(socket):
    """CONSUL_HTTP_ADDR of a machine's own agent."""
    return f"unix://{SOCKET}" if socket else AGENT


def agent_config(machine, acl, node, socket=False):
    """The config of a machine's own agent, which Consul calls `node`. Script checks may come from its own files only."""
    config = _common(node, machine.address, acl)
    config.pop("_initial", None)
    config.update({"server": False, "data_dir": "/var/lib/consul", "client_addr": "127.0.0.1",
                   "enable_local_script_checks": True})
    if socket:
        config.update({"addresses": {"http": f"unix://{SOCKET}"}, "unix_sockets": {"user": "0", "group": "0", "mode": "0600"}})
    if machine.kind == "ha" and acl is None:
        # What a site has on the same machines: it must stay in Consul's DNS whatever our checks say. (With ACLs on, an
        # agent may register what its own policy names.)
        config["services"] = [{"name": OTHER_SERVICE, "port": 5000}]
    return config


def agent_service():
    """What a machine's PID 1 starts."""
    return {"name": "consul", "argv": [paths.CONSUL, "agent", "-config-dir=/etc/consul.d"]}


# What an agent ends itself with where the machine is too busy for the time that it gives its own parts.
TOO_BUSY = ("timeout starting HTTP servers",)


def gave_up(log, start=0):
    """Why the agent of this log ended itself for want of time, by what it wrote from an offset on, else None; and the next offset."""
    try:
        data = Path(log).read_bytes()
    except FileNotFoundError:
        return None, start
    # A line that is not written to its end yet is read the next time.
    end = data.rfind(b"\n") + 1
    text = data[start:end].decode("utf-8", "replace")
    return next((reason for reason in TOO_BUSY if reason in text), None), max(start, end)


def install_agent(machine, acl, node, socket=False):
    """Writes the agent's config onto the machine's disk."""
    machine.install_file("/etc/consul.d/agent.json", json.dumps(agent_config(machine, acl, node, socket), indent=1), 0o600)


class Consul:
    """The servers of a run, and questions to Consul asked from a server's namespace."""

    def __init__(self, state, network, registry, acl=None, nodes=None):
        self.state = Path(state)
        # What it calls machines, where that is not their name.
        self.nodes = nodes or {}
        self.network = network
        self.registry = registry
        self.acl = acl

    def node(self, name):
        """What it calls a machine."""
        return self.nodes.get(name, name)

    def address(self, server):
        """A server's address."""
        return f"10.77.0.{SERVERS.index(server) + 1}"

    def install(self):
        """Writes the servers' config."""
        for server in SERVERS:
            data = self.state / "consul" / server
            data.mkdir(parents=True)
            config = server_config(server, self.address(server), data / "data", self.acl)
            (data / "server.json").write_text(json.dumps(config, indent=1), encoding="utf-8")

    def start(self, server):
        """Starts one server; its namespace exists already."""
        self.registry.start(f"consul-{server}", [paths.CONSUL, "agent", f"-config-file={self.state}/consul/{server}/server.json"],
                            namespace=self.network.namespace(server))

    def kill(self, server):
        """SIGKILL to one server. Its kernel lives: connections to it are refused at once."""
        self.registry.kill(f"consul-{server}")

    def ask(self, path, method="GET", body=None, server=None, token=None, timeout=5.0):
        """One request, with the bootstrap token where ACLs are on. Without `server` the first that answers is asked."""
        headers = {}
        if self.acl:
            headers["X-Consul-Token"] = token or self.acl.bootstrap
        servers = [server] if server else [s for s in SERVERS if self.registry.running(f"consul-{s}")]
        failure = OSError("no Consul server runs")
        for name in servers:
            try:
                return web.call(self.network.namespace(name), method, self.address(name), HTTP, path, body, headers, timeout)
            except web.HttpError as error:
                if error.status < 500:
                    raise
                failure = error
            except OSError as error:
                failure = error
        raise failure

    def leader(self):
        """The leading server's name, or None during an election."""
        answer = self.ask("/v1/status/leader")
        address = (answer or "").partition(":")[0]
        return next((s for s in SERVERS if self.address(s) == address), None)

    def wait_for_leader(self, timeout=20):
        """Until reads and writes work; returns the leader's name."""
        return wait.until("Consul has a leader", self.leader, timeout)

    def make_agent_token(self):
        """With ACLs on: the token with which the agents register themselves."""
        wait.until("Consul takes ACL policies", lambda: self.ask("/v1/acl/policies"), 20)
        self.make_policy_and_token("lab-agent", Acl.AGENT_RULES, self.acl.agent)

    def make_policy_and_token(self, name, rules, secret):
        """A policy with these rules and a token that has it; returns the token. One that is there gets these rules."""
        known = {policy["Name"]: policy["ID"] for policy in self.ask("/v1/acl/policies") or []}
        if name in known:
            self.ask(f"/v1/acl/policy/{known[name]}", "PUT", {"ID": known[name], "Name": name, "Rules": rules})
            return secret
        self.ask("/v1/acl/policy", "PUT", {"Name": name, "Rules": rules})
        self.ask("/v1/acl/token", "PUT", {"SecretID": secret, "Description": name, "Policies": [{"Name": name}]})
        return secret

    def save(self, file):
        """A snapshot of everything that Consul holds, as an administrator's backup."""
        self._snapshot("save", file)

    def restore(self, file):
        """Everything that it holds is what it was when the snapshot was saved."""
        self._snapshot("restore", file)

    def _snapshot(self, verb, file):
        server = self.wait_for_leader()
        token = {"CONSUL_HTTP_TOKEN": self.acl.bootstrap} if self.acl else {}
        done = subprocess.run(["nsenter", f"--net=/run/netns/{self.network.namespace(server)}", "--", paths.CONSUL, "snapshot", verb,
                               f"-http-addr=http://{self.address(server)}:{HTTP}", os.fspath(file)],
                              capture_output=True, text=True, timeout=60, check=False, env={"PATH": "/usr/bin:/bin", **token})
        if done.returncode != 0:
            raise RuntimeError(f"consul snapshot {verb}: {done.stderr.strip()}")

    def serf_health(self, node):
        """The status of the node's serfHealth; None if Consul does not know the node (never joined, or left)."""
        for check in self.ask(f"/v1/health/node/{self.node(node)}") or []:
            if check["CheckID"] == "serfHealth":
                return check["Status"]
        return None

    def checks(self, node):
        """All checks registered on a node: `{check id: (status, output)}`."""
        return {c["CheckID"]: (c["Status"], c["Output"]) for c in self.ask(f"/v1/health/node/{self.node(node)}") or []}

    def passing(self, service):
        """The nodes on which a service passes, sorted: where its users are sent."""
        return sorted(s["Node"]["Node"] for s in self.ask(f"/v1/health/service/{service}?passing") or [])

    def get(self, key):
        """A key's value as text, or None."""
        try:
            answer = self.ask(f"/v1/kv/{key}?consistent")
        except web.HttpError as error:
            if error.status == 404:
                return None
            raise
        return base64.b64decode(answer[0]["Value"] or "").decode("utf-8", "replace")

    def put(self, key, value):
        """Writes a key by hand, as an administrator would."""
        self.ask(f"/v1/kv/{key}", "PUT", value)

    def delete(self, prefix):
        """Deletes everything under a prefix."""
        self.ask(f"/v1/kv/{prefix}?recurse", "DELETE")

    def keys(self, prefix):
        """The keys under a prefix."""
        try:
            return self.ask(f"/v1/kv/{prefix}?keys") or []
        except web.HttpError as error:
            if error.status == 404:
                return []
            raise
