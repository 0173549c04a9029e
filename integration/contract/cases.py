"""Everything that the client asks of Nova, in one order, through the death and the return of a host.

A stage has `ask(method, path, body, version, token=True)` which returns (status, answer), `tell(what, body)` and
`state()`: the back door of the simulated cloud (`simcloud/backdoor.py`), which the lab also offers in front of the
real one. Hosts: node1 dies, node10 lives, ha1 is the target. Every guest is made here.
"""

import time

# The newest that the client reads with, per resource, and the newest that both clouds speak.
SERVICES, SERVERS, MIGRATIONS, NEWEST = "2.69", "2.73", "2.59", "2.104"
NOBODY = "00000000-0000-4000-8000-000000000000"


class Recording:
    """The cases so far."""

    def __init__(self, stage):
        self.stage = stage
        self.cases = []

    def case(self, name, method, path, version, body=None, token=True):
        """Asks and keeps the pair; returns the answer."""
        status, answer = self.stage.ask(method, path, body, version, token)
        self.cases.append({"case": name, "method": method, "path": path, "version": version, "body": body,
                           "status": status, "answer": answer})
        return answer


def run(stage, patience=90):
    """Plays all of it; returns the cases. `patience`: seconds that the cloud may take for an evacuation or a boot."""
    it = Recording(stage)
    names = ("attached", "pinned", "anywhere", "stopped-on-arrival", "second", "off", "frozen", "kept")
    stage.tell("guests", [{"name": name, "host": "node1"} for name in names] + [{"name": "other", "host": "node10"}])
    ids = {guest["name"]: guest["id"] for guest in stage.state()["guests"] if not guest["deleted"]}
    # While all are alike: which of them come first is Nova's affair.
    it.case("a page of a host's servers", "GET", "/servers/detail?all_tenants=1&host=node1&limit=2", SERVERS)
    stage.tell("guests", [{"name": "off", "vm_state": "stopped", "power_state": 4},
                          {"name": "frozen", "vm_state": "paused", "power_state": 3},
                          {"name": "kept", "locked": True, "locked_reason": "its owner's"}])
    reads(it, ids)
    service = services(it)
    before_death(it, ids)
    stage.tell("hosts", {"host": "node1", "alive": False})
    it.case("forced down", "PUT", f"/os-services/{service}", "2.53", {"forced_down": True})
    it.case("a service that is forced down", "GET", "/os-services?binary=nova-compute&host=node1", SERVICES)
    refusals(it, ids)
    evacuations(it, ids, patience)
    it.case("forced up while evacuations are done", "PUT", f"/os-services/{service}", "2.53", {"forced_down": False})
    stage.tell("hosts", {"host": "node1", "alive": True})
    until("the evacuations are completed", lambda: statuses(stage) <= {"completed", "error", "failed"}, patience)
    it.case("migrations that are completed", "GET",
            f"/os-migrations?migration_type=evacuation&instance_uuid={ids['pinned']}", MIGRATIONS)
    until("node1 reports", lambda: reports(stage), patience)
    it.case("forced up", "PUT", f"/os-services/{service}", "2.53", {"forced_down": False})
    it.case("enabled", "PUT", f"/os-services/{service}", "2.53", {"status": "enabled"})
    stage.tell("guests", {"name": "other", "deleted": True})
    it.case("a deleted server", "GET", f"/servers/{ids['other']}", SERVERS)
    return it.cases


def reads(it, ids):
    """Lists and single things, and how unfit questions are answered."""
    it.case("the version document", "GET", "/", "2.1")
    it.case("no token", "GET", "/os-services", SERVICES, token=False)
    it.case("a version that is too new", "GET", "/os-services", "2.999")
    it.case("a version that is none", "GET", "/os-services", "2.x")
    it.case("the servers of a host", "GET", "/servers/detail?all_tenants=1&host=node10", SERVERS)
    it.case("the servers of nobody", "GET", "/servers/detail?all_tenants=1&host=node", SERVERS)
    it.case("a marker that is nobody", "GET", f"/servers/detail?all_tenants=1&marker={NOBODY}", SERVERS)
    for name in ("pinned", "off", "frozen", "kept"):
        it.case(f"a server: {name}", "GET", f"/servers/{ids[name]}", SERVERS)
    it.case("a server at the newest version", "GET", f"/servers/{ids['pinned']}", NEWEST)
    it.case("a server at 2.1", "GET", f"/servers/{ids['pinned']}", "2.1")
    it.case("no such server", "GET", f"/servers/{NOBODY}", SERVERS)
    it.case("no such path", "GET", "/no-such-thing", SERVERS)
    it.case("no migrations", "GET", "/os-migrations?migration_type=evacuation&source_compute=node1", MIGRATIONS)
    it.case("a migrations filter that is none", "GET", "/os-migrations?colour=red", MIGRATIONS)
    it.case("the actions of nobody", "GET", f"/servers/{NOBODY}/os-instance-actions", SERVERS)


def services(it):
    """The service of a host: read, disabled, enabled; returns its id."""
    found = it.case("a service", "GET", "/os-services?binary=nova-compute&host=node1", SERVICES)
    service = found["services"][0]["id"]
    it.case("a service at 2.1", "GET", "/os-services?binary=nova-compute&host=node1", "2.1")
    it.case("no such service", "GET", "/os-services?binary=nova-compute&host=node", SERVICES)
    path = f"/os-services/{service}"
    it.case("disabled", "PUT", path, "2.53", {"status": "disabled", "disabled_reason": "nova-ha: by the contract"})
    it.case("enabled before", "PUT", path, "2.53", {"status": "enabled"})
    it.case("disabled with a reason that is too long", "PUT", path, "2.53",
            {"status": "disabled", "disabled_reason": "x" * 256})
    it.case("enabled with a reason", "PUT", path, "2.53", {"status": "enabled", "disabled_reason": "no"})
    it.case("a service change that is none", "PUT", path, "2.53", {"colour": "red"})
    it.case("a service that nobody has", "PUT", f"/os-services/{NOBODY}", "2.53", {"forced_down": True})
    it.case("a service by number", "PUT", "/os-services/1", "2.53", {"forced_down": True})
    it.case("disabled for good", "PUT", path, "2.53", {"status": "disabled", "disabled_reason": "nova-ha: by the contract"})
    return service


def before_death(it, ids):
    """Evacuations that are refused while the host lives, and bodies that are refused always."""
    path = f"/servers/{ids['pinned']}/action"
    it.case("evacuate while the source is up", "POST", path, "2.14", {"evacuate": {"host": "ha1"}})
    it.case("evacuate at 2.13 without onSharedStorage", "POST", path, "2.13", {"evacuate": {"host": "ha1"}})
    it.case("evacuate at 2.14 with onSharedStorage", "POST", path, "2.14",
            {"evacuate": {"host": "ha1", "onSharedStorage": True}})
    it.case("evacuate at 2.68 with force", "POST", path, "2.68", {"evacuate": {"host": "ha1", "force": True}})
    it.case("an action that is none", "POST", path, "2.14", {"levitate": {}})
    it.case("evacuate nobody", "POST", f"/servers/{NOBODY}/action", "2.14", {"evacuate": {"host": "ha1"}})


def refusals(it, ids):
    """Evacuations that are refused although the host is dead."""
    path = f"/servers/{ids['pinned']}/action"
    it.case("evacuate to a host that is none", "POST", path, "2.14", {"evacuate": {"host": "nowhere"}})
    it.case("evacuate to the same host", "POST", path, "2.14", {"evacuate": {"host": "node1"}})
    it.case("evacuate a paused guest", "POST", f"/servers/{ids['frozen']}/action", "2.14", {"evacuate": {"host": "ha1"}})


def evacuations(it, ids, patience):
    """One of each kind that the client sends, and what Nova shows of them."""
    asked = (("attached", "2.13", {"host": "ha1", "onSharedStorage": True}), ("pinned", "2.14", {"host": "ha1"}),
             ("anywhere", "2.68", {}), ("stopped-on-arrival", "2.95", {"host": "ha1"}), ("off", "2.14", {"host": "ha1"}),
             ("kept", "2.14", {"host": "ha1"}))
    # The scheduler has one choice, so that it is the same in both clouds.
    schedulable(it.stage, "node10", {"status": "disabled", "disabled_reason": "the contract"})
    for name, version, inner in asked:
        it.case(f"evacuate {name} at {version}", "POST", f"/servers/{ids[name]}/action", version, {"evacuate": inner})
    until("the evacuations are done", lambda: done(it.stage, {ids[name] for name, *_ in asked}), patience)
    schedulable(it.stage, "node10", {"status": "enabled"})
    for name, *_ in asked:
        it.case(f"a server that was evacuated: {name}", "GET", f"/servers/{ids[name]}", SERVERS)
        it.case(f"its migration: {name}", "GET",
                f"/os-migrations?migration_type=evacuation&instance_uuid={ids[name]}", MIGRATIONS)
    it.case("a page of a host's evacuations", "GET",
            "/os-migrations?migration_type=evacuation&source_compute=node1&limit=2", MIGRATIONS)
    actions = it.case("a server's actions", "GET", f"/servers/{ids['pinned']}/os-instance-actions", SERVERS)
    request = actions["instanceActions"][0]["request_id"]
    it.case("one action", "GET", f"/servers/{ids['pinned']}/os-instance-actions/{request}", SERVERS)


def schedulable(stage, host, change):
    """Enables or disables a service, on nobody's record."""
    _, answer = stage.ask("GET", f"/os-services?binary=nova-compute&host={host}", None, SERVICES)
    status, answer = stage.ask("PUT", f"/os-services/{answer['services'][0]['id']}", change, "2.53")
    assert status == 200, answer


def done(stage, wanted):
    """Whether each of these guests has a migration that is done and no task any more."""
    _, answer = stage.ask("GET", "/os-migrations?migration_type=evacuation", None, MIGRATIONS)
    over = {m["instance_uuid"] for m in answer["migrations"] if m["status"] == "done"}
    _, answer = stage.ask("GET", "/servers/detail?all_tenants=1", None, SERVERS)
    busy = {s["id"] for s in answer["servers"] if s["OS-EXT-STS:task_state"]}
    return wanted <= over and not wanted & busy


def reports(stage):
    """Whether node1's nova-compute reports, which a service that is forced down shows by its time alone."""
    def time_of_last():
        return stage.ask("GET", "/os-services?host=node1", None, SERVICES)[1]["services"][0]["updated_at"]

    first = time_of_last()
    time.sleep(1.2)
    return time_of_last() != first


def statuses(stage):
    """The statuses of node1's evacuations."""
    _, answer = stage.ask("GET", "/os-migrations?migration_type=evacuation&source_compute=node1", None, MIGRATIONS)
    return {m["status"] for m in answer["migrations"]}


def until(what, condition, seconds):
    """Polls."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)
