"""What a lab consists of, as a scenario or the command line says it."""

from dataclasses import dataclass, field
from typing import Any

# What is different where machines have kernels of their own: each costs 0.4 GB and most of a core while it boots. Their
# hosts have their guests on md arrays, which an HA node takes over to run the guests itself.
DISK_LAB = {"hosts": 2, "guests": 4, "fences": {}, "storage": "md", "targets": {"mode": "this_ha_node"}}
# A real nova-compute in such a machine takes 150 MB, and its guests lie on what the machine itself has mounted.
REAL_NOVA_THERE = {"instances": "local", "memory_mb": 640}


def shape_of(overrides: dict[str, Any]) -> "Shape":
    """The shape that a scenario's SHAPE, or another dict of fields, means."""
    base = {}
    if overrides.get("machines") == "uml":
        base = DISK_LAB | (REAL_NOVA_THERE if overrides.get("cloud") == "openstack" else {})
    return Shape(**{**base, **overrides})


@dataclass
class Shape:
    """What a lab consists of. A scenario overrides fields by its `SHAPE` dict."""

    # Numbers name them compute1.., ha1..; lists name them as they say.
    hosts: int | list[str] = 3
    ha_nodes: int | list[str] = 3
    # Guests vm-01.. spread over the hosts in turn.
    guests: int = 12
    acl: bool = False
    # Whether the machines' agents are asked on a socket that root alone may use, and not on a port of the loopback.
    agent_socket: bool = False
    # Whether every secret of the lab is a word of its own, so that it can be looked for: see canaries.py. Simulated cloud only.
    canaries: bool = False
    # simulated, openstack (real Nova, see openstack/), or none: no nova-compute and no cloud at all.
    cloud: str = "simulated"
    # Real Nova only. shared: all hosts see every guest's directory; local: each host has its own.
    instances: str = "shared"
    # Whether the product is configured and its generated checks and watches run.
    product: bool = True
    # A recorded tree, a path in this repository, that is in Consul before: its machines are changed, not added.
    imported: str | None = None
    # Whether `up` waits until every observer has seen every machine healthy.
    observed: bool = True
    # A site as an older build left it, a folder in this repository: see recorded.py. It takes the place of all that is
    # configured by the product's commands.
    recorded: str | None = None
    # What Consul calls machines, where that is not their name.
    consul_nodes: dict = field(default_factory=dict)
    # How a host is fenced: ipmi, redfish, redfish_http (without TLS), agent (fence_ipmilan) or agent-redfish (fence_redfish).
    # Hosts that are not named: ipmi.
    fences: dict = field(default_factory=lambda: {"compute2": "redfish", "compute3": "agent"})
    # Where recoveries send guests: the product's targets JSON, `hosts` filled with HA nodes where empty.
    targets: dict = field(default_factory=lambda: {"mode": "scheduler"})
    # How HA nodes get at the guests' disks: `config/storage`, shared or md (see storage.py).
    storage: str = "shared"
    # Overrides of the policy that product.py sets; None leaves the product's default.
    policy: dict = field(default_factory=dict)
    # How often the HA nodes' cron lines run, where production's does every minute.
    sweep_seconds: float = 10
    # More of the cloud's seed: `simcloud/__init__.py`; of it, real Nova knows `guests` and `evacuate_seconds`.
    cloud_seed: dict = field(default_factory=dict)

    # namespaces, or uml: machines with kernels and disks of their own, see uml/.
    machines: str = "namespaces"
    # Of uml: which machines have one; None: every host and the first two HA nodes. The others see no disks.
    with_kernel: list[str] | None = None
    memory_mb: int = 384
    # Their init: lean, or systemd.
    init: str = "lean"
    # What each host shares with the HA nodes that have kernels, and whether `up` makes arrays of it, with guests' disks.
    disks_per_host: int = 4
    disk_mb: int = 256
    arrays: bool = True
    # Whether those arrays have an internal write-intent bitmap, as mdadm gives it to big ones only.
    bitmap: bool = False
    # Whether each disk has two partitions: the array is of the first ones, and one guest has an array of its own of second ones.
    partitioned: bool = False
    # Whether the shared disks are in a shelf of their own, which all reach by iSCSI over a network of its own: reservations on
    # them are everybody's.
    shelf: bool = False

    def uml_names(self) -> list[str]:
        """The machines with a kernel of their own."""
        if self.machines == "namespaces":
            return []
        if self.machines != "uml":
            raise ValueError(f"{self.machines} are no machines: namespaces or uml")
        return list(self.with_kernel) if self.with_kernel is not None else self.host_names() + self.ha_names()[:2]

    def uml_options(self) -> dict[str, object]:
        """What uml/machine.py needs to know of it."""
        return {"memory_mb": self.memory_mb, "init": self.init, "storage_network": self.shelf}

    def host_names(self) -> list[str]:
        """The compute hosts' names."""
        return [f"compute{i}" for i in range(1, self.hosts + 1)] if isinstance(self.hosts, int) else list(self.hosts)

    def ha_names(self) -> list[str]:
        """The HA nodes' names."""
        return [f"ha{i}" for i in range(1, self.ha_nodes + 1)] if isinstance(self.ha_nodes, int) else list(self.ha_nodes)

    def computes(self) -> list[str]:
        """Who runs a nova-compute: with the simulated cloud every machine, else the hosts and those that are targets."""
        named = self.targets.get("hosts", [])
        every = self.cloud == "simulated" or self.targets.get("mode") == "this_ha_node"
        return self.host_names() + [name for name in self.ha_names() if every or name in named]

    def guest_seeds(self) -> list[dict[str, str]]:
        """The guests as the cloud's seed wants them."""
        hosts = self.host_names()
        return [{"name": f"vm-{i + 1:02d}", "host": hosts[i % len(hosts)]} for i in range(self.guests)]
