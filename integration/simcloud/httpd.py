"""The HTTP side: routing to keystone, Nova and the back door, faults, and one log line a request."""

import http.server
import json
import re
import socket
import ssl
import sys
import threading
import time
import urllib.parse
import uuid

from . import microversions, placement
from .backdoor import Backdoor
from .faults import Faults
from .keystone import Keystone
from .nova_api import Nova
from .tenant import Tenants
from .world import Refused, World, wall

FAULT_NAMES = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod",
               409: "conflictingRequest", 413: "overLimit", 429: "overLimit", 503: "serviceUnavailable"}
MAX_BODY = 4 * 1024 * 1024

class Counters:
    """Requests by method and route, with ids taken out, so that a budget can be counted."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = {}

    def count(self, method, path):
        route = "%s %s" % (method, re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|req-[0-9a-f-]+", "ID", path))
        with self.lock:
            self.counts[route] = self.counts.get(route, 0) + 1

    def show(self):
        with self.lock:
            return dict(self.counts)


class Log:
    """JSON lines. Bodies of keystone requests carry passwords and are never written."""

    def __init__(self, path):
        self.lock = threading.Lock()
        self.file = open(path, "a", buffering=1) if path else None

    def __call__(self, **fields):
        if self.file:
            line = json.dumps({"at": wall(), **fields})
            with self.lock:
                self.file.write(line + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simcloud"
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024
    timeout = 120

    def do(self):
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            return self.reply(413, self.fault_body(413, "too large"), {})
        raw = self.rfile.read(length)
        parts = urllib.parse.urlsplit(self.path)
        began = time.monotonic()
        headers = {"X-Openstack-Request-Id": "req-" + str(uuid.uuid4())}
        cloud = self.server.cloud
        if parts.path.startswith("/_sim/"):
            status, body = self.guarded(lambda: cloud.backdoor.answer(self.command, parts.path, self.parse(raw)), headers)
            return self.reply(status, body, headers)
        cloud.counters.count(self.command, parts.path)
        fault = cloud.faults.take(self.command, self.path)
        if fault and fault.action == "delay":
            time.sleep(fault.seconds)
        status, body = 0, None
        if fault is None or fault.effect:
            status, body = self.guarded(lambda: self.route(parts, raw, headers), headers)
        cloud.log(event="request", source=self.client_address[0], method=self.command, path=self.path, status=status,
                  fault=fault and fault.action, id=headers["X-Openstack-Request-Id"],
                  ms=round((time.monotonic() - began) * 1000, 1))
        if fault and fault.action != "delay":
            return self.spoil(fault, status, body, headers)
        return self.reply(status, body, headers)

    do_GET = do_POST = do_PUT = do_DELETE = do

    @staticmethod
    def parse(raw):
        try:
            return json.loads(raw) if raw else None
        except ValueError:
            raise Refused(400, "Malformed request body") from None

    def guarded(self, answer, headers):
        try:
            return answer()
        except Refused as refused:
            return refused.status, self.fault_body(refused.status, str(refused))
        except (KeyError, TypeError, ValueError) as error:
            self.server.cloud.log(event="bug", error=repr(error))
            return 500, self.fault_body(500, "Unexpected API Error. %r" % error)

    @staticmethod
    def fault_body(status, message):
        return {FAULT_NAMES.get(status, "computeFault"): {"code": status, "message": message}}

    def route(self, parts, raw, headers):
        cloud = self.server.cloud
        path = parts.path.rstrip("/")
        if path in ("", "/v3"):
            version = {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": cloud.base + "/v3/"}]}
            return (300, {"versions": {"values": [version]}}) if path == "" else (200, {"version": version})
        if path == "/v3/auth/tokens" and self.command == "POST":
            try:
                token, body = cloud.keystone.authenticate(self.parse(raw))
            except Refused as refused:
                title = "Unauthorized" if refused.status == 401 else "Bad Request"
                return refused.status, {"error": {"code": refused.status, "title": title, "message": str(refused)}}
            headers["X-Subject-Token"] = token
            return 201, body
        if path == "/v3/auth/tokens" and self.command == "DELETE":
            try:
                cloud.keystone.check(self.headers.get("X-Auth-Token"))
                cloud.keystone.revoke(self.headers.get("X-Subject-Token"))
            except Refused as refused:
                return refused.status, {"error": {"code": refused.status, "title": "Refused", "message": str(refused)}}
            return 204, None
        if path.startswith("/placement"):
            return self.place(path[len("/placement"):], parts.query, headers)
        if path.startswith("/image/v2/images/") and self.command == "GET":
            try:
                cloud.keystone.check(self.headers.get("X-Auth-Token"))
            except Refused as refused:
                return 401, {"error": {"code": 401, "title": "Unauthorized", "message": str(refused)}}
            return 200, cloud.world.image(path.rsplit("/", 1)[1])
        if path == "/compute" or not path.startswith("/compute/v2.1"):
            raise Refused(404, "The resource could not be found.")
        headers["Vary"] = "OpenStack-API-Version, X-OpenStack-Nova-API-Version"
        try:
            version = microversions.requested(self.headers, cloud.nova.maximum)
        except microversions.BadVersion as bad:
            return bad.status, self.fault_body(bad.status, str(bad))
        headers["OpenStack-API-Version"] = "compute " + microversions.text(version)
        headers["X-OpenStack-Nova-API-Version"] = microversions.text(version)
        try:
            cloud.keystone.check(self.headers.get("X-Auth-Token"))
        except Refused as refused:
            return 401, {"error": {"code": 401, "title": "Unauthorized", "message": str(refused)}}
        project = cloud.keystone.member_of(self.headers.get("X-Auth-Token"))
        if project:
            words = [word for word in path[len("/compute/v2.1"):].split("/") if word]
            return cloud.tenants.answer(self.command, words, self.parse(raw), project, headers["X-Openstack-Request-Id"])
        query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        return cloud.nova.answer(self.command, path[len("/compute/v2.1"):], query, self.parse(raw), version,
                                 headers["X-Openstack-Request-Id"], self.headers.get("X-OpenStack-Request-ID"))

    def place(self, path, query, headers):
        cloud = self.server.cloud
        version = placement.version_of(self.headers)
        headers["OpenStack-API-Version"] = "placement " + microversions.text(version)
        try:
            cloud.keystone.check(self.headers.get("X-Auth-Token"))
        except Refused as refused:
            return 401, {"error": {"code": 401, "title": "Unauthorized", "message": str(refused)}}
        if cloud.keystone.member_of(self.headers.get("X-Auth-Token")):
            raise Refused(403, "Policy does not allow this request to be performed.")
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        return cloud.placement.answer(self.command, path, query, version)

    def spoil(self, fault, status, body, headers):
        if fault.action == "status":
            if fault.retry_after is not None:
                headers["Retry-After"] = str(fault.retry_after)
            return self.reply(fault.status, self.fault_body(fault.status, "simulated fault"), headers)
        if fault.action == "garbage":
            return self.reply_bytes(200, b"<html>proxy says hello</html>", headers)
        if fault.action == "huge":
            return self.reply_huge(fault.bytes, headers, fault.chunked)
        # Without another word: `drop` ends here, `hang` after its time.
        self.close_connection = True
        if fault.action == "hang":
            time.sleep(fault.seconds)
        elif fault.action == "cut":
            data = self.encoded(body) or b"null"
            self.start(status, len(data) + 16, headers)
            self.wfile.write(data[:len(data) // 2])
            self.wfile.flush()

    def start(self, status, length, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        self.end_headers()

    @staticmethod
    def encoded(body):
        """A body as bytes; those of a gate before another cloud are bytes already."""
        if body is None or isinstance(body, bytes):
            return body or b""
        return json.dumps(body).encode()

    def reply(self, status, body, headers):
        self.reply_bytes(status, self.encoded(body), headers)

    def reply_bytes(self, status, data, headers):
        self.start(status, len(data), headers)
        self.wfile.write(data)

    def reply_huge(self, size, headers, chunked):
        """Valid JSON of that size, so that only a limit stops a reader; chunked, nothing announces it."""
        self.close_connection = True
        if chunked:
            return self.reply_huge_chunked(size, headers)
        self.start(200, size, headers)
        head, tail, block = b'{"padding":"', b'"}', b"x" * (1 << 20)
        left = size - len(head) - len(tail)
        try:
            self.wfile.write(head)
            while left > 0:
                self.wfile.write(block[:min(left, len(block))])
                left -= min(left, len(block))
            self.wfile.write(tail)
        except OSError:
            # The reader gave up, as it should.
            return

    def reply_huge_chunked(self, size, headers):
        self.send_response(200)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        block = b"x" * (1 << 20)
        try:
            self.wfile.write(b'C\r\n{"padding":"\r\n')
            for _ in range(size // len(block)):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
            self.wfile.write(b'2\r\n"}\r\n0\r\n\r\n')
        except OSError:
            return

    def log_message(self, *args):
        """One line of our own per request is enough."""


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    allow_reuse_address = True

    def __init__(self, address, tls=None):
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request, client_address):
        """Readers that go away in the middle are what the tests do all the time; our own bugs are not."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Cloud:
    """All parts of one simulated cloud behind one listening socket."""

    def __init__(self, address, seed, log_path=None, tls=None, name=None):
        self.server = Server(address, tls)
        host, port = self.server.server_address[:2]
        self.base = "%s://%s:%d" % ("https" if tls else "http", name or host, port)
        self.log = Log(log_path)
        self.world = World(seed, self.log)
        self.keystone = Keystone(seed, self.base)
        self.faults = Faults()
        self.counters = Counters()
        self.nova = Nova(self.world, self.base)
        self.tenants = Tenants(self.world)
        self.placement = placement.Placement(self.world)
        self.backdoor = Backdoor(self.world, self.keystone, self.faults, self.counters)
        self.server.cloud = self

    def start(self):
        threading.Thread(target=self.world.run, daemon=True).start()
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()
        return self

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
