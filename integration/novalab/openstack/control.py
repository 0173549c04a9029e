"""The simulated cloud's back door, in front of the real cloud: what the contract's two halves move it by.

`/_sim/guests`, `/_sim/hosts` and `/_sim/state` as in `simcloud/backdoor.py`, for what real machines can do: a host
that is not alive has lost its power. `/_sim/fresh` makes every host live and be in service and deletes all guests.
"""

import http.server
import json
import threading
import traceback

from novalab import net, wait
from novalab.openstack import places

PORT = 9999
# A boot, and the time in which Nova may not have noticed it.
BOOT_SECONDS = 120


class Stage:
    """The real cloud of a lab as `contract/cases.py` wants it."""

    def __init__(self, lab):
        self.lab = lab
        self.cloud = lab.cloud

    def ask(self, method, path, body=None, version=None, token=True):
        """(status, answer) of nova-api, through its gate."""
        if token:
            answer = self.cloud.api.nova_raw(method, path, body, version)
        else:
            answer = self.cloud.api.ask(places.NOVA, method, "/v2.1" + path, body)
        return answer.status, answer.body

    def state(self):
        """What exists."""
        return self.cloud.state()

    def tell(self, what, body):
        """Does what the back door's POST would."""
        specs = body if isinstance(body, list) else [body]
        if what == "guests":
            self.cloud.set_guests(*specs)
            for spec in specs:
                if "disk_on" in spec:
                    self.cloud.hide_disk(spec["name"])
        elif what == "hosts":
            for spec in specs:
                self.power(spec["host"], spec["alive"])
        elif what == "fresh":
            self.fresh()
        else:
            raise LookupError(f"no {what} in the real cloud's back door")

    def power(self, host, on):
        """Cuts or boots a host; booted, its nova-compute has started once when this returns."""
        if not on:
            return self.lab.cut(host)
        if self.lab.is_powered(host):
            return None
        before = self.starts(host)
        self.lab.power_on(host)
        return wait.until(f"nova-compute of {host} starts", lambda: self.starts(host) > before, BOOT_SECONDS)

    def starts(self, host):
        """How often a nova-compute of this host began."""
        return sum(1 for event in self.cloud.hypervisor("started") if event["host"] == host)

    def fresh(self):
        """As after the bring-up, without guests."""
        for name in self.cloud.seed()["computes"]:
            self.power(name, True)
        for host in self.cloud.services():
            wait.until(f"{host} is in service", lambda host=host: self.in_service(host), BOOT_SECONDS, 0.5)
        self.cloud.set_guests(*[{"name": row["name"], "deleted": True} for row in self.cloud.servers()])

    def in_service(self, host):
        """Takes back what keeps a host out of service; True once Nova says that it is in."""
        service = self.cloud.services()[host]
        path = f"/os-services/{service['id']}"
        if service["forced_down"]:
            # Refused until its nova-compute has made its evacuations `completed`: HttpError is *not yet*.
            self.cloud.api.nova("PUT", path, {"forced_down": False})
        if service["status"] != "enabled":
            self.cloud.api.nova("PUT", path, {"status": "enabled"})
        return service["state"] == "up" and not service["forced_down"] and service["status"] == "enabled"


def serve(stage):
    """The same over HTTP in the cloud's namespace, until the process ends; returns the base address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        """One request at a time: a scenario's worth of them."""

        protocol_version = "HTTP/1.1"

        def do_GET(self):
            """/_sim/state"""
            self.answer(stage.state)

        def do_POST(self):
            """/_sim/WHAT"""
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer(lambda: stage.tell(self.path.removeprefix("/_sim/"), json.loads(raw or b"null")) or {})

        def answer(self, act):
            """What it gives, or 500 with the reason."""
            try:
                status, body = 200, act()
            except Exception as error:  # Told to whoever asked, and in the scenario's output.
                traceback.print_exc()
                status, body = 500, {"why": repr(error)}
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            """The gate has a log."""

    with net.inside(stage.cloud.namespace):
        server = http.server.ThreadingHTTPServer((places.ADDRESS, PORT), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{places.ADDRESS}:{PORT}"
