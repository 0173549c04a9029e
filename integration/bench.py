#!/usr/bin/env python3
"""How fast, with how many requests and in how much memory `nova-ha-recover` empties a host of 1,000 guests.

    integration/bench.py [--guests N] [--parallel N] [--seconds S] [--bin FOLDER] [--consul FILE] [--json]

A real Consul server and the simulated cloud, both on loopback, and the product's own executables, as they are in
FOLDER (default target/release). The host has no BMC: a person's word says that it is off. Nothing else of the machine is
touched, and no root is needed. It prints, and ends with exit 1 where a bound is exceeded:

    ratio      the time from the first evacuation that Nova accepted to the last that was `done`, by the ideal schedule:
               ceil(guests / parallel) times what one evacuation takes here               at most 1.10
    requests   to Nova and the image store, of the whole recovery, for each guest         at most 4
    memory     the largest resident set of nova-ha-recover                                at most 200 MiB
    overhead   the whole recovery less the time of the ratio: claim, power, verify, close
"""

import argparse
import json
import math
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import datetime

HERE = pathlib.Path(__file__).resolve().parent
HOST, HA_NODE = "compute1", "ha1"
# TCP to a multicast address is refused by our own kernel, at once: nobody is there.
NOBODY = "224.0.0.1"
MOST = {"ratio": 1.10, "requests": 4.0, "memory_mib": 200.0}


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def door(method, url, body=None):
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=60) as answer:
        raw = answer.read()
    return json.loads(raw) if raw else None


def until(what, look, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if look():
                return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("never: " + what)


def consul_program(given):
    cache = pathlib.Path(os.environ.get("NOVA_HA_LAB_CACHE")
                         or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "nova-ha-lab")
    for candidate in (given, shutil.which("consul"), cache / "consul/usr/bin/consul"):
        if candidate and pathlib.Path(candidate).is_file():
            return str(candidate)
    sys.exit("no consul in PATH nor in the lab's cache: give --consul FILE, or run integration/lab up once")


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder, self.children = args, pathlib.Path(folder), []
        self.env = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "NOVA_HA_RUN_DIR": str(self.folder / "run"),
                    "NOVA_HA_NODE": HA_NODE, "NOVA_HA_LOG": "warn"}
        (self.folder / "run").mkdir()

    def child(self, name, argv, env=None, **options):
        log = open(self.folder / (name + ".log"), "wb")
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=log, env=env, **{"stdout": log, **options})
        self.children.append(child)
        return child

    def run(self, name, *words):
        done = subprocess.run([str(self.args.bin / name), *words], env=self.env, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            sys.exit("%s %s: %s%s" % (name, " ".join(words), done.stdout, done.stderr))
        return done.stdout

    def start(self):
        http, serf, server = free_ports(3)
        config = {"server": True, "bootstrap_expect": 1, "node_name": HA_NODE, "data_dir": str(self.folder / "consul"),
                  "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "log_level": "WARN", "disable_update_check": True,
                  "performance": {"raft_multiplier": 1},
                  "ports": {"http": http, "https": -1, "grpc": -1, "dns": -1, "serf_lan": serf, "serf_wan": -1,
                            "server": server}}
        (self.folder / "consul.json").write_text(json.dumps(config))
        self.child("consul", [consul_program(self.args.consul), "agent", "-config-file=%s" % (self.folder / "consul.json")])
        self.env["CONSUL_HTTP_ADDR"] = "127.0.0.1:%d" % http
        until("Consul has a leader", lambda: door("GET", "http://127.0.0.1:%d/v1/status/leader" % http))
        # One half urgent: order costs nothing that can be seen. A tenth is of one flavor and image more.
        guests = [{"name": "g%04d" % n, "host": HOST} for n in range(self.args.guests)]
        seed = {"hosts": [HOST, "compute2", "compute3"], "ha_nodes": [HA_NODE], "heartbeats": "auto",
                "evacuate_seconds": self.args.seconds, "guests": guests}
        (self.folder / "seed.json").write_text(json.dumps(seed))
        cloud = self.child("cloud", [sys.executable, "-m", "simcloud", "--listen", "127.0.0.1:0", "--seed",
                                     str(self.folder / "seed.json")],
                           env={**os.environ, "PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": "1"}, stdout=subprocess.PIPE)
        self.cloud = cloud.stdout.readline().decode().split()[-1]
        self.env.update(OS_AUTH_URL=self.cloud + "/v3", OS_USERNAME="admin", OS_PASSWORD="secret", OS_PROJECT_NAME="admin",
                        OS_USER_DOMAIN_NAME="Default", OS_PROJECT_DOMAIN_NAME="Default", OS_REGION_NAME="RegionOne")

    def prepare(self):
        (self.folder / "password").write_text("unused")
        login = ["--ssh-user", "nobody", "--ssh-password-file", str(self.folder / "password"), "--ssh-address", NOBODY]
        self.run("nova-ha", "init")
        self.run("nova-ha", "policy", "set", "evacuation_parallel", str(self.args.parallel))
        self.run("nova-ha", "host", "add", HOST, *login)
        self.run("nova-ha", "ha-node", "add", HA_NODE, "--targets", '{"mode": "scheduler"}', "--storage", "shared", *login)
        door("POST", self.cloud + "/_sim/hosts", {"host": HOST, "alive": False})
        self.run("nova-ha-mark-failed", HOST, "--by", "bench", "--yes", HOST)
        self.run("nova-ha", "confirm-off", HOST, "--by", "bench", "--ttl", "2h", "--yes", HOST,
                 "--although-the-votes-do-not-say-dead")

    def recover(self):
        before = sum(door("GET", self.cloud + "/_sim/state")["requests"].values())
        began = time.monotonic()
        log = open(self.folder / "recover.log", "wb")
        child = subprocess.Popen([str(self.args.bin / "nova-ha-recover"), HOST, "--json"], env=self.env, stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=log)
        said = child.stdout.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        whole = time.monotonic() - began
        state = door("GET", self.cloud + "/_sim/state")
        own = {route: n for route, n in state["requests"].items() if "/_sim/" not in route}
        at = lambda row, name: datetime.fromisoformat(row[name]).timestamp()
        moves = state["migrations"]
        left = [g["name"] for g in state["guests"] if g["host"] == HOST]
        if child.returncode != 0 or left or len(moves) != self.args.guests or state["violations"]:
            sys.exit("not all is recovered: exit %d, %d left, %d evacuations, %s\n%s\n%s" % (
                child.returncode, len(left), len(moves), state["violations"][:3], said[:2000],
                (self.folder / "recover.log").read_text()[-3000:]))
        took = max(at(m, "updated_at") for m in moves) - min(at(m, "created_at") for m in moves)
        # What one takes here: the simulated cloud shares this machine's processors.
        each = sorted(at(m, "updated_at") - at(m, "created_at") for m in moves)[len(moves) // 2]
        ideal = math.ceil(self.args.guests / self.args.parallel) * self.args.seconds
        ends = sorted([(at(m, "created_at"), 1) for m in moves] + [(at(m, "updated_at"), -1) for m in moves])
        most = under_way = 0
        for _, step in ends:
            under_way += step
            most = max(most, under_way)
        return {"guests": self.args.guests, "parallel": self.args.parallel, "seconds_each": self.args.seconds,
                "seconds_each_measured": round(each, 3), "most_at_once": most,
                "seconds": round(took, 2), "ideal": round(ideal, 2), "ratio": round(took / ideal, 3),
                "overhead": round(whole - took, 2),
                "requests": round((sum(own.values()) - before) / self.args.guests, 3), "by_route": own,
                "memory_mib": round(usage.ru_maxrss / 1024, 1)}

    def end(self):
        for child in reversed(self.children):
            child.terminate()
            child.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--guests", type=int, default=1000)
    parser.add_argument("--parallel", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--bin", type=lambda p: pathlib.Path(p).resolve(), default=HERE.parent / "target/release")
    parser.add_argument("--consul")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not (args.bin / "nova-ha-recover").is_file():
        sys.exit("no nova-ha-recover in %s: cargo build --release" % args.bin)
    with tempfile.TemporaryDirectory(prefix="nova-ha-bench-") as folder:
        bench = Bench(args, folder)
        try:
            bench.start()
            bench.prepare()
            found = bench.recover()
        finally:
            bench.end()
    over = [name for name, most in MOST.items() if found[name] > most]
    if args.json:
        print(json.dumps({**found, "over": over}))
    else:
        print("%(guests)d guests, %(parallel)d at a time, %(seconds_each)g s each (measured %(seconds_each_measured)g s, "
              "%(most_at_once)d at once)" % found)
        print("ratio     %(ratio).3f   %(seconds)g s by an ideal of %(ideal)g s" % found)
        print("requests  %(requests).2f a guest" % found)
        for route, count in sorted(found["by_route"].items(), key=lambda row: -row[1])[:8]:
            print("          %6d %s" % (count, route))
        print("memory    %(memory_mib)g MiB" % found)
        print("overhead  %(overhead)g s" % found)
        for name in over:
            print("OVER: %s is %g, at most %g" % (name, found[name], MOST[name]))
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
