"""A Redfish BMC that somebody has taken: it answers whatever its mode says, to whoever asks, and keeps a record of what came.

    hostile_bmc.py STATE NAME

It stands where the machine's own BMC stood (`attackers.take_bmc`), with its address, its certificate and its UUID. The word in the
file `mode` of the BMC's folder decides; a power command is written down as one that it received, and moves nothing. In
`heard.jsonl` is what each request brought: the credentials that it was given are its own machine's or nobody's. Where it
redirects to, on a port beside its own and without TLS, it listens too: whoever comes there is written down as `elsewhere`.
"""

import http.server
import json
import os
import ssl
import sys
import threading

if __name__ == "__main__":
    # Started with -I -S, as the chassis program is: the package is the folder above.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from novalab import events

SYSTEMS = "/redfish/v1/Systems"
MODES = ("off", "on", "other", "huge", "redirect", "target", "garbage", "escapes")
# What came to where it redirected to.
ELSEWHERE = "elsewhere"
# More than anybody should read of an answer.
HUGE = 64 << 20


def system(settings, mode):
    """What it says of its one system in a mode."""
    own = f"{SYSTEMS}/{settings['uuid']}"
    said = {"Id": settings["uuid"], "UUID": settings["uuid"], "PowerState": "On",
            "Actions": {"#ComputerSystem.Reset": {"target": f"{own}/Actions/ComputerSystem.Reset",
                                                  "ResetType@Redfish.AllowableValues": ["On", "ForceOff"]}}}
    if mode == "off":
        said["PowerState"] = "Off"
    elif mode == "other":
        said.update(UUID=settings["other_uuid"], PowerState="Off")
    elif mode == "target":
        said["Actions"]["#ComputerSystem.Reset"]["target"] = f"{SYSTEMS}/{settings['other_uuid']}/Actions/ComputerSystem.Reset"
    elif mode == "escapes":
        said.update(UUID="\x1b]0;owned\x07\x9b31m\u202e", PowerState="\x1b[2JOff")
    return said


class Handler(http.server.BaseHTTPRequestHandler):
    """One answer after the other."""

    protocol_version = "HTTP/1.1"
    timeout = 30

    def do(self):
        """Whatever is asked."""
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, 1 << 20)).decode("utf-8", "replace")
        settings, place = self.server.settings, self.server.place
        if self.server.is_elsewhere:
            mode = ELSEWHERE
        else:
            with open(os.path.join(place, "mode"), encoding="utf-8") as file:
                mode = file.read().strip()
        with open(os.path.join(place, "heard.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps({"mode": mode, "method": self.command, "path": self.path, "body": body,
                                   "authorization": self.headers.get("Authorization")}) + "\n")
        if self.command == "POST" and mode != ELSEWHERE:
            events.record(self.server.state, "command", bmc=self.server.name, machine=self.server.name, what="off", via="redfish",
                          obeyed=False)
            return self.reply(204, b"")
        if mode == ELSEWHERE:
            return self.reply(404, b"{}")
        if mode == "redirect":
            return self.reply(302, b"", Location="http://{address}:{elsewhere}{path}".format(path=self.path, **settings))
        if mode == "garbage":
            return self.reply(200, b"\xff\xfe<html>" + b"\0" * 64)
        if mode == "huge":
            return self.reply_huge()
        if self.path.rstrip("/") == SYSTEMS:
            return self.reply(200, json.dumps({"Members": [{"@odata.id": f"{SYSTEMS}/{settings['uuid']}"}]}).encode())
        return self.reply(200, json.dumps(system(settings, mode)).encode())

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do

    def reply(self, status, data, **headers):
        """A whole answer."""
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(data)

    def reply_huge(self):
        """More than anybody should read, as one that announces nothing."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            self.wfile.write(b'{"PowerState":"Off","padding":"')
            for _ in range(HUGE // (1 << 20)):
                self.wfile.write(b"x" * (1 << 20))
        except OSError:
            # The reader had enough, as it should.
            return

    def log_message(self, *args):
        """What was heard is in its own file."""


class Server(http.server.ThreadingHTTPServer):
    """Readers that go away in the middle are what this one is for."""

    daemon_threads = True

    def handle_error(self, request, client_address):
        """Our own bugs are told, a reader's end is not."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main(state, name):
    """Serves until it is killed."""
    place = os.path.join(state, "bmc", name)
    with open(os.path.join(place, "hostile.json"), encoding="utf-8") as file:
        settings = json.load(file)
    servers = [Server((settings["address"], settings[port]), Handler) for port in ("port", "elsewhere")]
    for server in servers:
        server.settings, server.place, server.state, server.name = settings, place, state, name
        server.is_elsewhere = server is servers[1]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    servers[0].socket = context.wrap_socket(servers[0].socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=servers[1].serve_forever, daemon=True).start()
    servers[0].serve_forever(poll_interval=0.5)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
