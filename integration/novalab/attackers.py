"""Actors of SECURITY.md, each with exactly its own power and nothing more: a token, Nova's API, a BMC, a login as nobody.

Whatever one of them does is answered by a word: *denied*, *done*, *absent*, or `HTTP 413` and the like. What follows from it is
for the scenario to say.
"""

import http.client
import json
import threading
import time
from dataclasses import dataclass

from novalab import bmc, events, hostile_bmc, net, paths, redfish, web
from novalab.cloud import ADDRESS, NODE, PORT

DENIED, DONE, ABSENT = "denied", "done", "absent"
# A user of an HA node who is neither root nor in any group: the one who may log in there.
USER, GROUP = 4242, 4242


@dataclass
class Move:
    """One request that a token makes, and the answer that it has to get. In `path`, names stand as `{me}` and the like."""

    token: str
    verb: str
    path: str
    value: object = None
    answer: str = DENIED


def denied(token, verb, *paths_):
    """Moves that have to be refused, all with the same verb."""
    value = None if verb in ("get", "list", "delete") else "1"
    return [Move(token, verb, path, value) for path in paths_]


class Token:
    """Who has one token, on a network from which Consul can be reached, and nothing else."""

    def __init__(self, lab, policy):
        self.consul = lab.consul
        self.policy = policy
        self.secret = lab.token(policy)

    def ask(self, path, method="GET", body=None):
        """(word, answer) of any request of Consul's API."""
        try:
            return DONE, self.consul.ask(path, method, body, token=self.secret, timeout=15)
        except web.HttpError as error:
            return {403: DENIED, 404: ABSENT}.get(error.status, f"HTTP {error.status}"), error.body

    def make(self, verb, path, value=None):
        """The word of one move: put, get, list or delete of a key below the tree, or a method with a path of the API."""
        if verb in ("put", "get", "delete", "list"):
            key = f"/v1/kv/ha_cluster/{path}"
            if verb == "list":
                word, found = self.ask(f"{key}?recurse")
                return word if word != DONE or found else ABSENT
            body = value if value is None or isinstance(value, (str, bytes)) else json.dumps(value)
            return self.ask(key, verb.upper(), body)[0]
        return self.ask(path, verb, value)[0]


def make_all(lab, moves, names):
    """Makes every move and fails if one is answered otherwise than it has to be. `names` fills the braces of the paths."""
    tokens, wrong = {}, []
    for move in moves:
        policy, path = move.token.format(**names), move.path.format(**names)
        token = tokens.setdefault(policy, Token(lab, policy))
        word = token.make(move.verb, path, move.value(names) if callable(move.value) else move.value)
        if word != move.answer:
            wrong.append(f"{policy}: {move.verb} {path}: {word}, expected {move.answer}")
    assert not wrong, "\n".join(wrong)


class Loop:
    """Moves that are made over and over while something else goes on."""

    def __init__(self, pause, *moves):
        self.moves = moves
        self.pause = pause
        self.rounds = 0
        self.wrong = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(60)

    def _run(self):
        while not self.ended.is_set():
            for move in self.moves:
                try:
                    move(self.rounds)
                except AssertionError as error:
                    self.wrong.append(str(error))
                except OSError:
                    # One request that is lost on a busy machine is no move.
                    time.sleep(self.pause)
            self.rounds += 1
            self.ended.wait(self.pause)

    def made(self):
        """Fails if a move was answered otherwise than it has to be, or none was made."""
        assert not self.wrong, self.wrong[:5]
        assert self.rounds > 0, "not one round was made"


class Tenant:
    """A member of a project, by keystone and Nova's API: the seed's user of the same name."""

    def __init__(self, lab, name, password, project):
        self.namespace = lab.network.namespace(NODE)
        domain = {"id": "default"}
        login = {"auth": {"identity": {"methods": ["password"], "password": {"user": {
            "name": name, "domain": domain, "password": password}}}, "scope": {"project": {"name": project, "domain": domain}}}}
        self.token = self._log_in(login)

    def _log_in(self, login):
        # The token is in a header, which web.call does not show.
        connection = http.client.HTTPConnection(ADDRESS, PORT, timeout=10)
        connection.sock = net.connect(self.namespace, ADDRESS, PORT, 10)
        connection.request("POST", "/v3/auth/tokens", json.dumps(login), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        connection.close()
        assert answer.status == 201, f"the tenant gets no token: HTTP {answer.status}"
        return answer.headers["X-Subject-Token"]

    def ask(self, method, path, body=None):
        """(status, answer)."""
        headers = {"X-Auth-Token": self.token, "OpenStack-API-Version": "compute 2.90"}
        try:
            return 200, web.call(self.namespace, method, ADDRESS, PORT, f"/compute/v2.1{path}", body, headers)
        except web.HttpError as error:
            return error.status, error.body

    def rebuild(self, server):
        """One rebuild: taken, or refused because the last one is not over."""
        status, body = self.ask("POST", f"/servers/{server}/action", {"rebuild": {"imageRef": "x"}})
        assert status in (200, 409), (status, body)


# A BMC

def take_bmc(lab, name, other):
    """Somebody has taken a Redfish BMC. `other` is the machine as which it may name itself."""
    events.record(str(lab.state), "fault", fault="take_bmc", machine=name)
    machine, place = lab.machine(name), bmc.folder(lab.machine(name))
    settings = {"uuid": machine.uuid, "other_uuid": lab.machine(other).uuid, "address": machine.bmc_address, "port": redfish.PORT,
                "certificate": str(lab.authority / "bmc.pem"), "key": str(lab.authority / "bmc.key"),
                "elsewhere": redfish.PORT + 1}
    (place / "hostile.json").write_text(json.dumps(settings), encoding="utf-8")
    bmc_says(lab, name, "on")
    lab.registry.kill(bmc.node(machine))
    lab.registry.start(bmc.node(machine), [paths.PYTHON, "-I", "-S", paths.HERE / "hostile_bmc.py", lab.state, name],
                       namespace=lab.network.namespace(bmc.node(machine)))


def bmc_says(lab, name, mode):
    """What it answers from now on."""
    assert mode in hostile_bmc.MODES, mode
    place = bmc.folder(lab.machine(name))
    (place / "mode.new").write_text(mode, encoding="utf-8")
    (place / "mode.new").replace(place / "mode")


def give_back_bmc(lab, name):
    """The machine's own BMC again."""
    events.record(str(lab.state), "fault", fault="give_back_bmc", machine=name)
    machine = lab.machine(name)
    lab.registry.kill(bmc.node(machine))
    redfish.start(machine, lab.registry, lab.network)
    lab.wait_for_bmc(machine)


def bmc_heard(lab, name, mode=None):
    """What a taken BMC was asked, in a mode or in all; `hostile_bmc.ELSEWHERE`: where it redirected to."""
    file = bmc.folder(lab.machine(name)) / "heard.jsonl"
    if not file.exists():
        return []
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [heard for heard in found if mode in (None, heard["mode"])]


# A user of an HA node

def as_user(machine, script):
    """Runs a script of /bin/sh on a machine as a user who is nobody there."""
    return machine.exec("setpriv", f"--reuid={USER}", f"--regid={GROUP}", "--clear-groups", "--no-new-privs", "sh", "-c", script,
                        timeout=30)
