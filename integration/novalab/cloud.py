"""The simulated cloud of a run: `../simcloud`, in a namespace of its own."""

import json
from pathlib import Path

from novalab import paths, wait, web

NODE = "cloud"
ADDRESS = "10.77.0.10"
PORT = 5000
USER, PASSWORD, PROJECT = "admin", "secret", "admin"

def clouds_yaml(password):
    """The administrator's clouds.yaml."""
    return f"""\
clouds:
  lab:
    auth:
      auth_url: http://{NODE}:{PORT}/v3
      username: {USER}
      password: {password}
      project_name: {PROJECT}
      user_domain_name: Default
      project_domain_name: Default
    region_name: RegionOne
    interface: public
    identity_api_version: 3
"""


CLOUDS = clouds_yaml(PASSWORD)


class Cloud:
    """The cloud's process and its back door. `openstack/cloud.py` is the real one with the same methods."""

    kind = "simulated"
    # What the command line of a machine's nova-compute has in it.
    compute_word = "heartbeat.py"

    def __init__(self, state, network, registry):
        self.folder = Path(state) / "cloud"
        self.network = network
        self.registry = registry

    def install(self, seed):
        """Writes the seed: hosts, ha_nodes, guests and timings, as `simcloud/world.py` reads them."""
        self.folder.mkdir(parents=True)
        (self.folder / "seed.json").write_text(json.dumps(seed, indent=1), encoding="utf-8")

    def start(self):
        """Starts it; the namespace exists already."""
        self.registry.start("cloud", [paths.PYTHON, "-m", "simcloud", "--listen", f"{ADDRESS}:{PORT}",
                                      "--seed", self.folder / "seed.json", "--log", self.folder / "requests.jsonl",
                                      "--name", NODE],
                            namespace=self.network.namespace(NODE), cwd=paths.INTEGRATION,
                            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(paths.INTEGRATION), "LANG": "C.UTF-8"})

    def wait_ready(self, timeout=60):
        """Until it answers."""
        wait.until("the cloud answers", lambda: self.door("GET", "ready") == {}, timeout)

    def make_guests(self):
        """Nothing: it was born with those of its seed."""

    def running(self):
        """Whether it can be asked."""
        return self.registry.running("cloud")

    def compute_service(self, machine):
        """What a machine's PID 1 starts for its nova-compute: a heartbeat."""
        return {"name": "nova-compute", "argv": [
            paths.PYTHON, "-I", "-S", str(paths.HERE / "heartbeat.py"), machine.name, ADDRESS, str(PORT)]}

    def install_machine(self, machine):
        """Nothing: the heartbeat needs no file."""

    def door(self, method, what, body=None, timeout=5.0):
        """The administrator's back door: `/_sim/WHAT`."""
        return web.call(self.network.namespace(NODE), method, ADDRESS, PORT, f"/_sim/{what}", body, timeout=timeout)

    def state(self):
        """What exists and what was asked: see `simcloud/backdoor.py`."""
        return self.door("GET", "state")

    def guests(self):
        """`{name: guest}`."""
        return {g["name"]: g for g in self.state()["guests"] if not g["deleted"]}

    def evacuations(self):
        """Every evacuate POST that it saw, in order."""
        return self.state()["evacuate_posts"]

    def requests(self):
        """Every request but the back door's, in order of its end: `at`, `source` (an address), `method`, `path`, `status`.

        Requests to which a fault happened are among them, with their `fault`.
        """
        with (self.folder / "requests.jsonl").open(encoding="utf-8") as lines:
            found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [entry for entry in found if entry.get("event") == "request"]

    def fault(self, **spec):
        """Injects a fault of the API: see `simcloud/faults.py`."""
        self.door("POST", "faults", spec)

    def heal(self):
        """Takes every fault of the API away."""
        self.door("DELETE", "faults")

    def set_guests(self, *specs):
        """Makes or changes guests by name."""
        self.door("POST", "guests", list(specs))
