"""The lab's own view of the cloud's APIs: an administrator's requests from inside a namespace."""

import http.client
import json
import threading

from novalab import net
from novalab.openstack import places
from novalab.web import HttpError

# What is read is read at a version that shows hosts, locks and the migrations' users; evacuations name their own.
VERSION = "2.96"
LOGIN = {"auth": {
    "identity": {"methods": ["password"], "password": {"user": {
        "name": places.USER, "domain": {"id": "default"}, "password": places.PASSWORD}}},
    "scope": {"project": {"name": places.PROJECT, "domain": {"id": "default"}}}}}


class Answer:
    """Status, headers (names in lower case) and body of an answer; the body as text where it is no JSON."""

    def __init__(self, status, headers, data):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        text = data.decode("utf-8", "replace")
        try:
            self.body = json.loads(text) if text else None
        except ValueError:
            self.body = text


class Api:
    """keystone, Nova, placement and glance as the administrator, with one token for all."""

    def __init__(self, namespace, timeout=30):
        self.namespace = namespace
        self.timeout = timeout
        self.lock = threading.Lock()
        self.token = None

    def ask(self, port, method, path, body=None, headers=None):
        """One request; any status is an Answer. Raises OSError where there is none."""
        connection = http.client.HTTPConnection(places.ADDRESS, port, timeout=self.timeout)
        connection.sock = net.connect(self.namespace, places.ADDRESS, port, self.timeout)
        headers = {"Accept": "application/json", **(headers or {})}
        data = body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        try:
            connection.request(method, path, body=data, headers=headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.getheaders(), answer.read())
        except http.client.HTTPException as error:
            raise OSError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def log_in(self):
        """Takes a new token; returns what keystone says of it."""
        answer = self.ask(places.KEYSTONE, "POST", "/v3/auth/tokens", LOGIN)
        self._check(answer, "POST /v3/auth/tokens")
        self.token = answer.headers["x-subject-token"]
        return answer.body["token"]

    def call(self, port, method, path, body=None, headers=None):
        """One request with the token. Raises HttpError from 400 on; returns the body."""
        answer = self.raw(port, method, path, body, headers)
        self._check(answer, f"{method} {port}{path}")
        return answer.body

    def raw(self, port, method, path, body=None, headers=None):
        """One request with the token; any status is an Answer."""
        with self.lock:
            if self.token is None:
                self.log_in()
        answer = self.ask(port, method, path, body, {"X-Auth-Token": self.token, **(headers or {})})
        if answer.status == 401:
            self.log_in()
            answer = self.ask(port, method, path, body, {"X-Auth-Token": self.token, **(headers or {})})
        return answer

    def nova(self, method, path, body=None, version=VERSION):
        """A request to Nova by the way around the gate: what the lab asks is in nobody's record."""
        return self.call(places.NOVA_BEHIND, method, "/v2.1" + path, body, version_header(version))

    def nova_raw(self, method, path, body=None, version=VERSION):
        """A request to Nova through the gate, as the product's are; any status is an Answer."""
        return self.raw(places.NOVA, method, "/v2.1" + path, body, version_header(version))

    @staticmethod
    def _check(answer, where):
        if answer.status >= 400:
            raise HttpError(answer.status, json.dumps(answer.body), where)


def version_header(version):
    """The header that asks for a microversion."""
    return {"OpenStack-API-Version": f"compute {version}"}
