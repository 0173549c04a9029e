"""The front door of the real nova-api: passes every request on, remembers it, and can lose or spoil an answer.

    gate.py ADDRESS PORT UPSTREAM-PORT LOG

Nova cannot be asked which requests it was sent. So its endpoint in the catalog is this gate, which writes the same log
as the simulated cloud and obeys the same faults (`simcloud/faults.py`); what it answers else is nova-api's own, byte
for byte. Where nova-api does not live, nobody answers here either: the connection is closed without a byte.
"""

import http.client
import json
import re
import sys
import time

from simcloud.faults import Faults
from simcloud.httpd import Counters, Handler, Log, Server
from simcloud.world import Refused, wall

ACTION = re.compile(r"/v2\.1/servers/([0-9a-f-]{36})/action")
# Of the connection, not of the answer.
HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "content-type", "date", "server",
       "x-openstack-request-id")
REQUEST_ID = "X-Openstack-Request-Id"
UPSTREAM_TIMEOUT = 120


class Backdoor:
    """`/_sim/faults` as the simulated cloud has it, and `/_sim/seen`: what passed."""

    def __init__(self, gate):
        self.gate = gate

    def answer(self, method, path, body):
        """(status, body)"""
        match (method, path):
            case ("GET", "/_sim/seen"):
                return 200, {"requests": self.gate.counters.show(), "faults": self.gate.faults.show()}
            case ("POST", "/_sim/faults"):
                for spec in body if isinstance(body, list) else [body]:
                    self.gate.faults.add(spec)
                return 200, {}
            case ("DELETE", "/_sim/faults"):
                self.gate.faults.clear()
                return 200, {}
        raise Refused(404, f"no {method} {path}")


class Gate:
    """What the handler knows; named as the handler of the simulated cloud expects it."""

    def __init__(self, address, port, upstream, log):
        self.address = address
        self.upstream = upstream
        self.log = Log(log)
        self.counters = Counters()
        self.faults = Faults()
        self.backdoor = Backdoor(self)
        self.server = Server((address, port))
        self.server.RequestHandlerClass = Door
        self.server.cloud = self


class Away(OSError):
    """nova-api does not answer."""


class Door(Handler):
    """One connection of a client."""

    def do(self):
        """As the simulated cloud's, but where nova-api is gone the client sees just that."""
        try:
            super().do()
        except Away:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do

    def route(self, parts, raw, headers):
        """Asks nova-api; its headers are put into `headers`."""
        gate = self.server.cloud
        post = self.evacuate_post(parts.path, raw)
        connection = http.client.HTTPConnection(gate.address, gate.upstream, timeout=UPSTREAM_TIMEOUT)
        try:
            connection.request(self.command, self.path, raw or None, dict(self.headers.items()))
            answer = connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException) as error:
            gate.log(event="away", method=self.command, path=self.path, why=repr(error))
            if post is not None:
                # Nobody knows whether it was heard: a post as well.
                gate.log(event="evacuate", post=post)
            raise Away(str(error)) from error
        finally:
            connection.close()
        headers.update((name, value) for name, value in answer.getheaders() if name.lower() not in HOP)
        headers[REQUEST_ID] = answer.getheader(REQUEST_ID)
        if post is not None:
            post["request_id"], post["status"] = headers[REQUEST_ID], answer.status
            post["why"] = data.decode("utf-8", "replace") if answer.status >= 400 else None
            gate.log(event="evacuate", post=post)
        return answer.status, data

    def evacuate_post(self, path, raw):
        """The record of an evacuate, begun before nova-api is asked."""
        found = ACTION.fullmatch(path)
        if self.command != "POST" or not found:
            return None
        try:
            body = json.loads(raw)
        except ValueError:
            return None
        if not isinstance(body, dict) or "evacuate" not in body:
            return None
        version = (self.headers.get("OpenStack-API-Version") or "compute 2.1").removeprefix("compute ")
        return {"at": wall(), "monotonic": time.monotonic(), "id": found.group(1), "body": body, "microversion": version,
                "request_id": None, "global_request_id": self.headers.get("X-OpenStack-Request-ID"), "status": None,
                "why": None}


if __name__ == "__main__":
    Gate(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]).server.serve_forever(poll_interval=0.1)
