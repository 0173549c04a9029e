"""Network namespaces of one run: a bridge in a namespace of its own, and one namespace per node on it.

Addresses exist only inside these namespaces, so two labs on one machine use the same ones without meeting; only
the namespaces' names differ (`nvlab-RUN-NODE`). Nothing of the machine's own network is touched or reachable.

| range | who |
|---|---|
| 10.77.0.1 .. | Consul servers s1, s2, s3 |
| 10.77.0.10 | the simulated cloud |
| 10.77.0.254 | the bridge itself: an anchor that answers ping and lives as long as the network |
| 10.77.1.x | hosts and HA nodes |
| 10.77.2.x | the BMC of the machine with the same x |
| 10.78.1.x | the storage card of the machine with the same x, on a bridge of its own that no fault of the network touches |
"""

import contextlib
import ctypes
import os
import socket
import subprocess

ANCHOR = "10.77.0.254"
STORAGE_BRIDGE = "storage"
CLONE_NEWNET = 0x40000000
# No sender hands the kernel a packet that is to be cut up on the way: the card of a machine with a kernel of its own
# (User-mode Linux) says that it takes those, and drops them. A long answer then stalls for seconds.
WHOLE_FRAMES = "gso_max_segs 1"
_libc = ctypes.CDLL(None, use_errno=True)

# Dropping happens on the bridge, by port: both directions, every protocol, ARP too, and it outlives a reboot of the
# machine behind the port. `silent` is for machines whose kernel is dead, `isolated` for cut cables in the middle.
# `dumping` is the one thing that a crash kernel does: it announces its dump (and is found by ARP for that).
RULES = """
table bridge lab {
  set silent { type ifname; }
  set dumping { type ifname; }
  set isolated { type ifname; }
  set apart { type ifname . ifname; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    iifname @dumping ether type ip udp dport 7410 accept
    iifname @dumping ether type arp accept
    oifname @dumping ether type arp accept
    iifname @silent drop
    oifname @silent drop
    iifname @isolated drop
    oifname @isolated drop
    iifname . oifname @apart drop
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname @silent drop
    iifname @isolated drop
  }
}
"""


def run(argv, stdin=None, check=True):
    """Runs a short program and returns its stdout; an error carries its stderr."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=20, check=False)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """The namespaces of one run. Holds no state of its own: the kernel has it all."""

    def __init__(self, run_name):
        self.prefix = f"nvlab-{run_name}-"
        self.bridge = self.prefix + "net"

    def namespace(self, node):
        """The namespace's name of a node."""
        return self.prefix + node

    def create(self):
        """Makes the bridge."""
        run(["ip", "netns", "add", self.bridge])
        run(["ip", "-n", self.bridge, "-batch", "-"],
            f"link set lo up\nlink add br0 type bridge forward_delay 0 stp_state 0\n"
            f"link set br0 {WHOLE_FRAMES} up\naddr add {ANCHOR}/16 dev br0\n")
        run(["ip", "netns", "exec", self.bridge, "nft", "-f", "-"], RULES)

    def create_storage(self):
        """Makes the bridge of the storage network."""
        run(["ip", "-n", self.bridge, "-batch", "-"],
            f"link add {STORAGE_BRIDGE} type bridge forward_delay 0 stp_state 0\nlink set {STORAGE_BRIDGE} up\n")

    def add_node(self, node, index, address, up=True):
        """Makes (or makes anew) the namespace of a node, with eth0 on port p<index> of the bridge."""
        name = self._add_port(node, index, up)
        # The same MAC at every boot, as a real card has: neighbours keep their ARP entries.
        run(["ip", "-n", name, "-batch", "-"],
            f"link set lo up\nlink set eth0 address {mac(index)} {WHOLE_FRAMES}\naddr add {address}/16 dev eth0\nlink set eth0 up\n")

    def add_wires(self, node, index, tap, link, address, up=True):
        """The same for a node with a kernel of its own: `tap` is the wire to its card on port p<index>.

        `link` is a second wire that leads nowhere but into this namespace, which has `address` on it.
        """
        name = self._add_port(node, index, up)
        run(["ip", "-n", name, "-batch", "-"],
            f"link set lo up\n{_wire('wire', 'eth0', tap)}"
            f"tuntap add {link} mode tap\naddr add {address}/30 dev {link}\nlink set {link} {WHOLE_FRAMES} up\n")

    def add_storage_wire(self, node, index, tap):
        """The wire to a second card of such a node, on port d<index> of the storage network, which nobody unplugs."""
        name = self.namespace(node)
        self._plug(name, f"d{index}", "eth1", STORAGE_BRIDGE)
        run(["ip", "-n", name, "-batch", "-"], _wire("wire1", "eth1", tap))

    def _add_port(self, node, index, up):
        name = self.namespace(node)
        # The ports go first and by hand: deleting a namespace takes its links away only some time later.
        if name in namespaces():
            run(["ip", "-force", "-n", self.bridge, "-batch", "-"], f"link del p{index}\nlink del d{index}\n", check=False)
            run(["ip", "netns", "del", name])
        run(["ip", "netns", "add", name])
        self._plug(name, f"p{index}", "eth0", "br0", up)
        return name

    def _plug(self, name, port, card, bridge, up=True):
        run(["ip", "-n", self.bridge, "-batch", "-"],
            f"link add {port} type veth peer name {card} netns {name}\n"
            f"link set {port} master {bridge}\nlink set {port} {'up' if up else 'down'}\n")

    def link(self, index, up):
        """Plugs or unplugs the cable at the bridge."""
        run(["ip", "-n", self.bridge, "link", "set", f"p{index}", "up" if up else "down"])

    def link_is_up(self, index):
        """Whether the cable is plugged."""
        return "state UP" in run(["ip", "-n", self.bridge, "-o", "link", "show", f"p{index}"])

    def drop(self, what, *ports):
        """Adds a port (or a pair of ports) to one of the sets of RULES."""
        element = " . ".join(f'"p{p}"' for p in ports)
        self._nft(f"add element bridge lab {what} {{ {element} }}")

    def undrop(self, what, *ports):
        """Takes it out again; fine if it was not in."""
        element = " . ".join(f'"p{p}"' for p in ports)
        self._nft(f"add element bridge lab {what} {{ {element} }}; delete element bridge lab {what} {{ {element} }}")

    def heal(self):
        """Empties every set: no drop is left."""
        for name in ("silent", "dumping", "isolated", "apart"):
            self._nft(f"flush set bridge lab {name}")

    def _nft(self, command):
        run(["ip", "netns", "exec", self.bridge, "nft", command])

    def pids(self):
        """Every process that still lives in a namespace of this run, with the namespace's name."""
        return {name: [int(p) for p in run(["ip", "netns", "pids", name]).split()] for name in self.names()}

    def names(self):
        """The namespaces of this run that exist."""
        return [n for n in namespaces() if n.startswith(self.prefix)]

    def destroy(self):
        """Deletes the namespaces of this run, the bridge last."""
        for name in sorted(self.names(), key=lambda n: n == self.bridge):
            run(["ip", "netns", "del", name], check=False)


def _wire(wire, card, tap):
    """A bridge between a namespace's end of a cable and the tap of the card behind it."""
    return (f"link add {wire} type bridge forward_delay 0 stp_state 0\ntuntap add {tap} mode tap\n"
            f"link set {card} master {wire}\nlink set {tap} master {wire}\nlink set {wire} up\n"
            f"link set {card} up\nlink set {tap} {WHOLE_FRAMES} up\n")


def mac(index, storage=False):
    """The address of the card of the node with this number, or of its second one on the storage network."""
    return f"02:{'78' if storage else '77'}:00:00:{index >> 8:02x}:{index & 255:02x}"


def namespaces():
    """All named network namespaces of the machine."""
    try:
        return sorted(os.listdir("/run/netns"))
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def inside(namespace):
    """This thread's new sockets belong to the namespace; those made keep belonging to it afterwards."""
    with open("/proc/thread-self/ns/net", "rb") as back, open(f"/run/netns/{namespace}", "rb") as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(back.fileno())


def _setns(descriptor):
    if _libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def connect(namespace, address, port, timeout):
    """A TCP connection from inside a namespace. Raises OSError."""
    with inside(namespace):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect((address, port))
    except OSError:
        sock.close()
        raise
    return sock


def pings(namespace, address, deadline=1):
    """Whether the address answers one ICMP echo within `deadline` seconds."""
    done = subprocess.run(
        ["nsenter", f"--net=/run/netns/{namespace}", "ping", "-n", "-q", "-c", "1", "-W", str(deadline), address],
        capture_output=True, timeout=deadline + 5, check=False)
    return done.returncode == 0
