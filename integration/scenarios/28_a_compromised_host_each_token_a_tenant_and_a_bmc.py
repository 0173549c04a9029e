"""With ACLs on, each actor of SECURITY.md makes its moves, by itself and beside a real recovery: no healthy host is shot, no guest
runs twice, another host that dies is recovered in its time, and no secret is found where it does not belong.

The actors have exactly their own power (novalab/attackers.py): the tokens of a compromised host and of one HA node, those of people,
a tenant of the cloud, a BMC that somebody has taken, a user of an HA node who is nobody there. What SECURITY.md denies is denied; of
what it lets them do, `nova-ha status` says what follows. All secrets are words of their own, which are looked for all along and at
the end (novalab/canaries.py).
"""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

from novalab import bmc, canaries, hostile_bmc, wait
from novalab.attack_table import (
    AGENT,
    CHECK,
    DEAD,
    GUARD,
    HA,
    MARK,
    MAY_READ,
    ME,
    MOVES,
    NAMES,
    OF_THE_HOST,
    ON_CALL,
    OTHER,
    PEER,
    PROBE,
    RECOVER,
    REGISTER,
    RUNTIME,
    VIEWER,
)
from novalab.attackers import (
    DENIED,
    DONE,
    Loop,
    Tenant,
    Token,
    as_user,
    bmc_heard,
    bmc_says,
    give_back_bmc,
    make_all,
    take_bmc,
)
from novalab.product import paced

TENANT = {"name": "mallory", "password": "her-own", "project": "hers", "role": "member"}
# What a terminal would obey.
ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"
HERS = "hers-on-compute3"
GUESTS = [{"name": f"vm-{i + 1:02d}", "host": f"compute{i % 4 + 1}"} for i in range(10)] + [
    {"name": HERS, "host": DEAD, "project": TENANT["project"]},
    # A name that a Nova of today would not take, of a guest that nobody attacks with.
    {"name": f"old{ESCAPES}", "host": DEAD}]
SHAPE = {"acl": True, "agent_socket": True, "canaries": True, "hosts": 4, "guests": 0, "fences": {ME: "redfish", DEAD: "agent-redfish"},
         "cloud_seed": {"users": [TENANT], "guests": GUESTS}}
MAY_BE_SHOT = [ME, DEAD]
TIME_LIMIT = 600
# Nothing that they do may bring it to a standstill. It takes 40 s on a machine of its own, and 123 s were seen beside three
# other labs and two builds on two cores: how quick a recovery is, the benchmarks measure.
RECOVERED_WITHIN = 240

# What the token of the check that marks hosts may write of a host that is well: the path, a value, the answer, and words that
# `status` then has to say. Where it is denied, nothing follows. One of the two hosts has a BMC that says *off*.
MARKED = (ME, OTHER)
GARBAGE = "{garbage" + ESCAPES
MARK_FAILED = [
    ("orders/{host}@0", lambda host: order(), DENIED, None),
    ("words/{host}@0/confirm_off", lambda host: confirm_off(host), DENIED, None),
    ("incidents/{host}@0/incident", lambda host: opened(host), DENIED, None),
    ("incidents/{host}@0/confirm_off", lambda host: confirm_off(host), DENIED, None),
    ("opened/{host}@0", lambda host: opened(host), DONE, "incident {host}@0"),
    ("compute_nodes/{host}/status/failed", lambda host: "True", DONE, None),
    ("recovery_queue", lambda host: host, DONE, None),
    ("opened/compute4@0", lambda host: GARBAGE, DONE, "opened/compute4@0 cannot be understood"),
    ("cooldown", lambda host: GARBAGE, DONE, "ha_cluster/cooldown cannot be understood"),
]
# What who is on call may say beside *viewer* and *mark-failed*: words and orders, which are what that token is for.
ON_CALLS = [("orders/{other}@7", DONE), ("words/{other}@7/confirm_off", DONE), ("words/{other}@7/hold", DONE),
            ("compute_nodes/{other}/config/maintenance", DONE)]

def run(lab):
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha", "local", "adopt", "--yes", node.name, check=True)
        lab.recover(node.name)
    lab.stop_publishing(ME)
    with canaries.Canaries(lab) as words:
        they_would_be_found(lab, words)
        # A secret is on its way through a command as it was when the site was set up.
        lab.add_host(OTHER, "--replace")
        moves(lab, words)
        take_bmc(lab, ME, OTHER)
        a_check_opens_what_it_likes(lab)
        a_host_really_dies(lab)
        assert not lab.shots(ME) and lab.lives(ME) and lab.lives(OTHER)
        the_compromised_host_dies(lab)
        everything_is_shown(lab)
        crashes(lab)
        assert not words.obeyed(), words.obeyed()[:5]
        leaks = of_the_lab(words.found())
        assert not leaks, "\n".join(map(str, leaks))
    leaks = of_the_lab(words.of_processes())
    assert not leaks, "\n".join(map(str, leaks))
    expected = {"nova-ha", "nova-ha-probe", "nova-ha-mark-failed", "nova-ha-recover", "ipmitool", "fence_redfish"}
    assert expected <= words.ran(), f"never read: {expected - words.ran()} of {sorted(words.ran())}"


def of_the_lab(leaks):
    """Leaks without those that were planted."""
    return [leak for leak in leaks if leak.name != canaries.PLANTED]


def they_would_be_found(lab, words):
    """One secret is left in each place that is looked at, and each is found."""
    places = words.plant(lab.machine(PEER))

    def missed():
        found = [leak.place for leak in words.found() if leak.name == canaries.PLANTED]
        return [place for place in places if not any(place in there for there in found)]

    wait.until("every planted secret is found", lambda: not missed(), 10, 0.3)
    words.take_away(lab.machine(PEER))
    assert not of_the_lab(words.found()), [str(leak) for leak in of_the_lab(words.found())]


def moves(lab, words):
    """Whatever a token, a tenant and a user may not do is denied; and what each token can list holds what it may read."""
    make_all(lab, MOVES, NAMES)
    for policy in (*OF_THE_HOST, PROBE, RECOVER, MARK, VIEWER, ON_CALL):
        _, listed = Token(lab, policy.format(**NAMES)).ask("/v1/kv/?recurse")
        text = "".join(canaries.decoded(entry["Value"]) for entry in listed or [])
        found, may = [leak.name for leak in words.within(text, policy)], MAY_READ.get(policy, ())
        beyond = [name for name in found if not name.startswith(may)] if may else found
        assert not beyond, f"{policy} reads {beyond}"
        assert all(any(name.startswith(one) for name in found) for one in may), f"{policy} reads {found} only: is it searched?"
    a_tenant_may_not(lab)
    a_user_may_not(lab)
    what_it_may_write_is_said(lab)


def what_it_may_write_is_said(lab):
    """Of what the host publishes of itself, and of what a stolen probe token leaves, `status` says what there is to say; nobody else
    loses protection by it."""
    path = f"compute_nodes/{ME}/internal/runtime_config"
    own, token = lab.consul.get(f"ha_cluster/{path}"), Token(lab, RUNTIME.format(**NAMES))
    for value, expected in lies(lab):
        assert token.make("put", path, value) == DONE
        said = status(lab)
        assert expected is None or (expected in said and not said.startswith("exit 0")), f"of {str(value)[:60]}: no {expected!r} in {said}"
    others_are_protected(lab)
    assert token.make("put", path, own) == DONE
    # More than Consul takes.
    assert token.make("put", path, "x" * 600_000) == "HTTP 413"
    probe, record = Token(lab, PROBE.format(**NAMES)), f"compute_nodes/{OTHER}/internal/observers/{HA}"
    assert probe.make("put", record, "{garbage") == DONE
    wait.until("somebody says so", lambda: f"{HA}: its check cannot tell" in status(lab), 30, 0.5)
    lab.consul.delete(f"ha_cluster/{record}")


def others_are_protected(lab, *but):
    """No host is unprotected but the compromised one, and those that are named."""
    hosts = lab.admin("nova-ha", "status", "--json", check=False).json()["hosts"]
    bare = {host["name"]: host["unprotected"] for host in hosts if host["unprotected"] and host["name"] not in (ME, *but)}
    assert not bare, f"others lost their protection: {bare}"


def a_tenant_may_not(lab):
    """Nova refuses her what is an administrator's, and another project's guests are not there for her."""
    tenant = tenant_of(lab)
    guests = lab.guests()
    for method, path, body, expected in [
            ("GET", "/os-services", None, 403), ("PUT", "/os-services/1", {"forced_down": True}, 403),
            ("POST", f"/servers/{guests[HERS]['id']}/action", {"evacuate": {}}, 403),
            ("POST", f"/servers/{guests['vm-01']['id']}/action", {"rebuild": {"imageRef": "x"}}, 404),
            ("POST", f"/servers/{guests['vm-01']['id']}/metadata", {"metadata": {"HA_Enabled": "no"}}, 404),
            ("PUT", f"/servers/{guests[HERS]['id']}", {"server": {"name": f"x{ESCAPES}"}}, 400)]:
        status, answer = tenant.ask(method, path, body)
        assert status == expected, f"{method} {path}: {status} {answer}"


def tenant_of(lab):
    """Her, with a token of keystone's."""
    return Tenant(lab, TENANT["name"], TENANT["password"], TENANT["project"])


def a_user_may_not(lab):
    """Who is nobody on an HA node reads, plants, locks and kills nothing of ours, and Consul tells him nothing without a token."""
    node = lab.machine(HA)
    secret = "/etc/nova-ha/tokens/recover /etc/nova-ha/tokens/probe /etc/nova-ha/login_key /etc/openstack/clouds.yaml " \
        f"/etc/nova-ha/bmc_password-{OTHER} /etc/nova-ha/fence-{DEAD}.json /var/log/nova-ha/recover.log /run/nova-ha/recover.lock"
    tries = [
            *(f"cat {file}" for file in secret.split()),
            "ln -s /etc/shadow /run/nova-ha/planted", "ln -sf /etc/shadow /run/nova-ha/recover.lock",
            "ln -s /etc/shadow /run/nova-ha/start-recover.running", "ln -s /etc/shadow /run/nova-ha/seen/compute1",
            "mkdir /run/nova-ha-monitor", "mkdir /run/nova-ha-planted", "ln -s /etc /var/lib/nova-ha/planted",
            "rm -f /run/nova-ha/recover.lock", "mv /run/nova-ha /run/nova-ha-old", "flock -n /run/nova-ha/recover.lock true",
            "echo x > /opt/nova-ha/bin/nova-ha-recover", "touch /opt/nova-ha/bin/ipmitool", "echo x > /etc/nova-ha/local.toml",
            "echo x >> /etc/nova-ha/recover.env", "kill -9 1", "nova-ha status", "nova-ha-recover", "nova-ha-mark-failed --sweep",
            # The agent's own token is whoever's who reaches the agent without one.
            "curl -sf --unix-socket /run/consul.sock -X PUT http://localhost/v1/agent/leave",
            "curl -sf --unix-socket /run/consul.sock -X PUT http://localhost/v1/agent/service/deregister/nova-ha",
            "curl -sf --unix-socket /run/consul.sock http://localhost/v1/kv/ha_cluster/?recurse",
            "curl -sf http://127.0.0.1:8500/v1/agent/self",
            f"curl -sf http://{lab.consul.address('s1')}:8500/v1/kv/ha_cluster/?recurse",
            f"curl -sf http://{lab.consul.address('s1')}:8500/v1/acl/tokens"]
    # One login for all of them: what each says is there, and how it ended.
    said = as_user(node, "\n".join(f"({script}); code=$?; echo; echo \"= $code of {number}\"" for number, script in enumerate(tries))).out
    ended = dict(reversed(line[2:].split(" of ")) for line in said.splitlines() if line.startswith("= "))
    assert len(ended) == len(tries), said
    done = [script for number, script in enumerate(tries) if ended[str(number)] == "0"]
    assert not done, f"who is nobody on {HA} may: {done}\n{said}"
    # All that he can read of processes; it is searched with whatever else was said.
    as_user(node, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' ' '; ps -ef")
    as_user(node, "cat /etc/nova-ha/* /etc/nova-ha/tokens/* /run/nova-ha/* /run/nova-ha/seen/* /etc/consul.d/* 2>/dev/null")


# The token of the check that marks hosts, and a BMC that lies, while the host is well

def now():
    """As the product writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def order():
    """A person's order to fence, forged."""
    return {"version": 2, "by": "ann", "at": now(), "ttl_seconds": 3600}


def confirm_off(host):
    """A person's word that it is off, forged."""
    return {"version": 1, "host": host, "incident": f"{host}@0", "by": "ann", "at": now(), "ttl_seconds": 3600,
            "although": ["agent", "address", "observers", "own_key"]}


def opened(host):
    """An incident that a person ordered, forged."""
    evidence = {"version": 1, "judged_by": f"ann{ESCAPES}", "at": now(), "detected_at": now(), "verdict": f"3 of 2 votes{ESCAPES}", "votes": [],
                "quorum": 2, "serf": "critical", "storm": "", "anchor": None}
    return {"version": 1, "incident": f"{host}@0", "origin": {"from": "person", "by": f"ann{ESCAPES}"}, "opened_by": HA, "opened_at": now(),
            "evidence": evidence}


def a_check_opens_what_it_likes(lab):
    """It may open an incident of a host that is well, and stop markings with garbage, and `status` says so; that host's BMC says
    *off* at the same time. Nobody is shot or evacuated, and a person puts it right."""
    bmc_says(lab, ME, "off")
    token, said_of = Token(lab, MARK), []
    for path, value, answer, words in MARK_FAILED:
        for host in MARKED:
            word = token.make("put", path.format(host=host), value(host))
            assert word == answer, f"{MARK}: put {path} of {host}: {word}, expected {answer}"
            said_of += [words.format(host=host)] if words and answer == DONE else []
    said = status(lab)
    missing = [words for words in said_of if words not in said]
    assert not missing and not said.startswith("exit 0"), f"status does not say {missing}: {said}"
    for path, value, answer, _ in MARK_FAILED:
        if answer == DONE and value(ME) == GARBAGE:
            lab.consul.delete(f"ha_cluster/{path}")
    if any(lab.incident_of(host) or lab.flag(host, "failed") for host in MARKED):
        they_wait(lab)
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda host: is_given_back(lab, host), MARKED))
    for host in MARKED:
        assert lab.lives(host)
    assert not lab.shots() and not lab.evacuations(), (lab.shots(), lab.evacuations())
    who = Token(lab, ON_CALL)
    for path, answer in ON_CALLS:
        assert who.make("put", path.format(**NAMES), "{}") == answer, path
        lab.consul.delete(f"ha_cluster/{path.format(**NAMES)}")


def they_wait(lab):
    """An HA node takes each forged incident, looks, and waits, whatever the BMC says."""
    for host in MARKED:
        # Whether it goes on holding it or not, it says why it waits.
        wait.until(f"an HA node waits with {host}", lambda host=host: lab.incident_of(host).waiting, 60)
    the_cloud_of_a_working_folder_is_not_asked(lab)
    for mode, code in {"on": 0, "target": 0, "other": 3, "redirect": 3, "huge": 3, "garbage": 3, "escapes": 3, "off": 0}.items():
        a_plan_asks(lab, mode, code)
    # The other one's is asked by ipmitool.
    lab.product("ha3", "nova-ha-recover", OTHER, "--plan", check=True)


def is_given_back(lab, host):
    """A person says that it lives, and ends the incident."""
    incident = lab.incident_of(host)
    lab.admin("nova-ha", "incident", "hold", incident.id, "--reason", "it lives", "--by", "maria")
    # An HA node writes that down, and then nobody works on it.

    def is_held():
        incident = lab.incident_of(host)
        return incident.state == "held" and incident.lock_session is None

    wait.until("it is held, and nobody works on it", is_held, 90)
    lab.admin("nova-ha", "incident", "abandon", incident.id, "--by", "maria", "--yes", host)
    lab.admin("nova-ha", "reset", host, "--by", "maria", "--yes", host)
    assert not lab.flag(host, "failed") and not lab.flag(host, "recovered")


def a_plan_asks(lab, mode, *codes):
    """What a recovery would do, with the BMC in this mode."""
    bmc_says(lab, ME, mode)
    heard = len(bmc_heard(lab, ME, mode))
    done = lab.product("ha3", "nova-ha-recover", ME, "--plan")
    assert done.code in codes and len(bmc_heard(lab, ME, mode)) > heard, f"{mode}: {done}"


def the_cloud_of_a_working_folder_is_not_asked(lab):
    """A clouds.yaml that a user left where root works leads no password to him."""
    node, folder = lab.machine("ha3"), "/var/tmp/his"
    listener = "import socket; s = socket.create_server(('127.0.0.1', 5999)); c, _ = s.accept(); open('came', 'wb').write(c.recv(65536))"
    cloud = "clouds: {lab: {auth: {auth_url: 'http://127.0.0.1:5999/v3', username: admin, project_name: admin, user_domain_name: Default, " \
        "project_domain_name: Default}, region_name: RegionOne}}"
    done = as_user(node, f"mkdir -m 755 {folder} && cd {folder} && echo \"{cloud}\" > clouds.yaml && : > secure.yaml")
    assert done.code == 0, done
    child = node.spawn("sh", "-c", f"cd {folder} && exec python3 -c \"{listener}\"")
    try:
        # Without the variable that names the right file, folders are looked through for one.
        script = f'cd {folder} && exec env -u OS_CLIENT_CONFIG_FILE nova-ha-recover {ME} --plan'
        done = node.exec("sh", "-c", script, env=canaries.token_env(lab, "recover"))
        assert done.code == 0, done
        assert child.poll() is None and not (node.path(folder) / "came").exists(), "the cloud of the working folder was asked"
    finally:
        node.kill_processes("5999")
        child.wait(10)


def status(lab):
    """`nova-ha status`, in one line, its exit code first: 1 for bad data, 3 where a person is needed."""
    done = lab.admin("nova-ha", "status", check=False)
    assert done.code in (0, 1, 3), done
    return f"exit {done.code}: {' '.join(done.out.split())}"


# A host that really dies

def lies(lab):
    """What the compromised host publishes, and what `status` says of it: others' names, identities, keys and arrays; and what nobody
    understands."""
    key = f"ha_cluster/compute_nodes/{ME}/internal/runtime_config"
    own = json.loads(lab.consul.get(key))
    theirs = [json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{host}/internal/runtime_config")) for host in (OTHER, DEAD)]
    as_others = [{**own, **{name: value for name, value in said.items() if name != "time"}, "nova_host": host}
                 for said, host in zip(theirs, (OTHER, DEAD))]
    bad = f"{key} cannot be understood"
    return [*((said, f"it publishes that Nova calls it {said['nova_host']}, and it is bound to {ME}") for said in as_others),
            ("{garbage", bad), ("[" * 100_000, bad),
            ({**own, "nova_host": ESCAPES, "hw_model": ESCAPES, "system_serial": ESCAPES}, "it publishes that Nova calls it \\u{1b}]0;owned"),
            ({**own, "md_arrays": {f"{n:032x}": {} for n in range(3000)}}, f"own word only, and changes when a host publishes otherwise: {ME}"),
            # What is in no field that anybody reads, or is no key at all, is said nowhere: nothing is done by it.
            ({"version": 99}, None), ({**own, "ssh_host_keys": ["x" * 1000] * 400}, None)]


def forged_votes(lab):
    """What one HA node's probe token leaves in its own records, round by round."""
    vote = {"version": 2, "observer": HA, "epoch": 0, "sequence": 7, "fails": 99, "threshold": 1, "interval_ms": 3000,
            "planes": {"management": {"answer": "failed", "fails": 99}}, "indices": [1, 2, 3, 4],
            "life": {"boot_id": "00000000-0000-4000-8000-000000000000", "boottime_ms": 10_000_000_000, "seen_healthy": True},
            "sees_healthy": [ME], "at": now(), "why": ESCAPES}
    return [vote, {"version": 99}, "{garbage", {**vote, "fails": 0, "planes": {}}, {**vote, "observer": PEER}, "x" * 400_000]


def a_host_really_dies(lab):
    """It is marked, fenced by its agent and recovered once, in its time, while every actor makes all that he can."""
    runtime, guard, agent, probe = (Token(lab, policy.format(**NAMES)) for policy in (RUNTIME, GUARD, AGENT, PROBE))
    said, votes, tenant = lies(lab), forged_votes(lab), tenant_of(lab)
    hers = lab.guests()[HERS]["id"]
    override = {"version": 1, "by": ESCAPES, "reason": ESCAPES, "at": now(), "boot_id": lab.machine(ME).boot_id(), "recorded": True}
    modes = ("off", "on", "other", "huge", "redirect", "target")

    def done(token, path, value):
        word = token.make("put", path, value)
        assert word == DONE, f"{token.policy}: put {path}: {word}"

    def round_of_tokens(number):
        done(runtime, f"compute_nodes/{ME}/internal/runtime_config", said[number % len(said)][0])
        done(guard, f"compute_nodes/{ME}/internal/boot_guard", override if number % 2 else "{garbage")
        word, _ = agent.ask(REGISTER, "PUT", {"Node": ME, "Address": lab.machine(ME).address,
                                                            "Check": {**CHECK, "Node": ME, "Status": "passing", "Output": ESCAPES}})
        assert word == DONE, f"its own serfHealth: {word}"
        for host in (ME, OTHER, DEAD, "compute4"):
            done(probe, f"compute_nodes/{host}/internal/observers/{HA}", votes[number % len(votes)])
            done(probe, f"compute_nodes/{host}/internal/number_fails", "99")
        bmc_says(lab, ME, modes[number % len(modes)])

    def round_of_the_tenant(number):
        tenant.rebuild(hers)
        marks = {"HA_Enabled": ESCAPES, "instanceha:restart_priority": str(10 ** 9), "instanceha:restart_group": ESCAPES}
        status_code, answer = tenant.ask("POST", f"/servers/{hers}/metadata", {"metadata": marks if number % 2 else {"HA_Enabled": "yes"}})
        assert status_code == 200, answer

    before = {name: guest["host"] for name, guest in lab.guests().items()}
    with Loop(0.4, round_of_tokens) as tokens, Loop(0.2, round_of_the_tenant) as tenants:
        wait.until("every actor has made its rounds", lambda: tokens.rounds > 8 and tenants.rounds > 3, 60)
        others_are_protected(lab)
        lab.panic(DEAD)
        began = time.monotonic()
        lab.wait_journal(DEAD, "started", "fence", 60)
        make_all(lab, MOVES, NAMES)
        a_user_may_not(lab)
        for words in (("status",), ("status", "--json"), ("incident", "show", f"{DEAD}@0"), ("incident", "show", f"{DEAD}@0", "--json")):
            lab.product(HA, "nova-ha", *words, env={"CONSUL_HTTP_TOKEN_FILE": "/etc/nova-ha/tokens/operator"})
        incident = lab.wait_incident(DEAD, "closed", RECOVERED_WITHIN)
        took = time.monotonic() - began
    tokens.made()
    tenants.made()
    assert took < paced(RECOVERED_WITHIN), f"the recovery of {DEAD} took {took:.0f} s"
    lab.assert_power(DEAD, "off")
    assert [shot["machine"] for shot in lab.shots()] == [DEAD], lab.shots()
    of_it = {name for name, host in before.items() if host == DEAD}
    assert incident.outcomes() == {name: "held" if name == HERS else "recovered" for name in of_it}, incident.outcomes()
    for name, guest in lab.guests().items():
        homes = [entry["host"] for entry in guest["history"]]
        assert len(homes) == (2 if name in of_it - {HERS} else 1), f"{name} was on {homes}"
    others_are_protected(lab, DEAD)
    said_then = status(lab)
    assert f"nova-ha guest settle {incident.id}" in said_then and f"out of service since incident {incident.id}" in said_then, said_then
    # A person puts away what the stolen token of an HA node left, as its own probe does at its next failure.
    for host in (ME, OTHER, DEAD, "compute4"):
        lab.consul.delete(f"ha_cluster/compute_nodes/{host}/internal/observers/{HA}")


# The compromised host itself dies

def the_compromised_host_dies(lab):
    """Its token keeps its agent's health *passing*: it is not marked, and somebody says why. Then it waits, loudly, for its own
    lie and for its BMC; once a person has put both right it is recovered, and nobody else is touched."""
    theirs = json.loads(lab.consul.get(f"ha_cluster/compute_nodes/{OTHER}/internal/runtime_config"))
    lie, shots, evacuations = {**theirs, "nova_host": OTHER}, len(lab.shots()), len(lab.evacuations())
    assert Token(lab, RUNTIME.format(**NAMES)).make("put", f"compute_nodes/{ME}/internal/runtime_config", lie) == DONE
    bmc_says(lab, ME, "on")
    agent = Token(lab, AGENT.format(**NAMES))
    mine = {"Node": ME, "Address": lab.machine(ME).address, "Check": {**CHECK, "Node": ME, "Status": "passing"}}

    def passing(_):
        assert agent.ask(REGISTER, "PUT", mine)[0] == DONE

    with Loop(0.2, passing) as loop:
        lab.panic(ME)
        wait.until("all HA nodes vote", lambda: all_vote(lab, ME), paced(60), 0.5)
        wait.until("somebody says that its agent answers", lambda: "its Consul agent answers" in
                   lab.product(PEER, "nova-ha-mark-failed", "--sweep").out, 20, 0.3)
        assert not [i for i in lab.incident_ids(ME) if lab.incident(i).state == "active"], "it was marked with its agent passing"
    loop.made()
    # What Consul's leader does by itself, within the minute of its next reconciliation.
    lab.consul.ask(REGISTER, "PUT", {**mine, "Check": {**mine["Check"], "Status": "critical"}})
    lab.product(PEER, "nova-ha-mark-failed", "--sweep")
    lab.wait_incident(ME, "waiting", 60)
    for mode in ("on", "other", "redirect", "huge", "garbage", "target"):
        a_plan_asks(lab, mode, 3)
    reasons = str(lab.incident_of(ME).waiting)
    assert OTHER in reasons and f"bound to {ME}" in reasons, reasons
    said = status(lab)
    assert f"it publishes that Nova calls it {OTHER}" in said and "WAITING" in said, said
    assert len(lab.shots()) == shots and len(lab.evacuations()) == evacuations and lab.lives(OTHER)
    own_login = "Basic " + base64.b64encode(f"{bmc.USER}:{lab.machine(ME).bmc_password}".encode()).decode()
    assert not bmc_heard(lab, ME, hostile_bmc.ELSEWHERE), "a redirect was followed"
    assert {heard["authorization"] for heard in bmc_heard(lab, ME)} <= {None, own_login}, "it was sent what is not its own"
    give_back_bmc(lab, ME)
    lab.admin("nova-ha", "host", "add", ME, "--replace", "--nova-host", ME, "--forget-published-nova-host")
    incident = lab.wait_incident(ME, "closed", 90)
    lab.assert_power(ME, "off")
    assert incident.outcomes() and set(incident.outcomes().values()) == {"recovered"}, incident.outcomes()
    assert [shot["machine"] for shot in lab.shots()] == [DEAD, ME] and lab.lives(OTHER), lab.shots()
    others_are_protected(lab, DEAD)


def all_vote(lab, host):
    """Whether every HA node has counted as many fails as it takes."""
    return len([said for said in lab.observed(host).values() if said["fails"] >= said["threshold"]]) == len(lab.ha_nodes)


def everything_is_shown(lab):
    """Each command that shows something, as text and as JSON."""
    commands = [("status",), ("host", "list"), ("ha-node", "list"), ("policy", "show"), ("cooldown", "show"), ("incident", "list"),
                *(("host", "show", host) for host in (ME, OTHER, DEAD)), ("ha-node", "show", HA),
                *(("incident", "show", name) for name in lab.incident_ids())]
    for words in commands:
        for more in ((), ("--json",)):
            done = lab.product(PEER, "nova-ha", *words, *more)
            assert done.code in (0, 1, 3) and done.out, done
    for host in (ME, DEAD):
        lab.product(PEER, "nova-ha-recover", host, "--plan")
    for name in (PEER, HA):
        lab.product(name, "nova-ha-mark-failed", "--sweep")
        lab.product(name, "nova-ha-probe", OTHER)


def crashes(lab):
    """An executable that crashes with its secrets in memory leaves no core, where another program does."""
    node = lab.machine("ha3")
    for program, words in (("nova-ha-recover", ()), ("nova-ha-probe", (DEAD,))):
        token = canaries.token_env(lab, program.removeprefix("nova-ha-"))
        assert canaries.crash(node, program, *words, env=token), f"{program} always ended before it crashed"
    assert not canaries.cores_of_crashes(node), canaries.cores_of_crashes(node)
    if canaries.keeps_cores():
        assert canaries.crash(node, "sleep", "60") and canaries.cores_of_crashes(node), "a crash of anything leaves no core here"
