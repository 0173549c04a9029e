"""Stands in for Neutron: Nova asks it about the ports of servers without a network, and the answer is always *none*.

    neutron.py ADDRESS PORT

It holds nothing and refuses every change: a guest of the lab has no port. What Neutron does to an evacuation (binding
ports to the new host) is not shown here.
"""

import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    """GET answers an empty list of whatever is asked for; everything else is a 404."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """An empty list, the API's version, or no extension at all."""
        path = self.path.partition("?")[0].rstrip("/")
        if path in ("", "/v2.0"):
            address, port = self.server.server_address
            link = {"rel": "self", "href": f"http://{address}:{port}/v2.0/"}
            return self.answer(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]})
        return self.answer(200, {path.rpartition("/")[2].replace("-", "_"): []})

    def refuse(self):
        """There is nothing to change."""
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(404, {"NeutronError": {"type": "NotFound", "message": "no networks here", "detail": ""}})

    do_POST = do_PUT = do_DELETE = refuse

    def answer(self, status, body):
        """Sends JSON."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        """Nobody asks about what it was asked."""


if __name__ == "__main__":
    http.server.ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Handler).serve_forever()
