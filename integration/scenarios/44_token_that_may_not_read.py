"""A token that may not read takes nothing for empty: every executable says so with an error, and changes nothing.

A host is dead and its incident is open, so that *nobody is suspect* and *nothing to do* would be lies. Consul answers
such a token with 404, [] or 403, by request.
"""

import uuid

from novalab import expect, wait

SHAPE = {"acl": True}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360
TOKENS = {
    "nothing": "",
    "nodes-only": 'node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }',
    "keys-only": 'key_prefix "ha_cluster/" { policy = "read" }',
}
COMMANDS = [
    ("nova-ha-mark-failed",), ("nova-ha-mark-failed", "--sweep"), ("nova-ha-mark-failed", "compute1"), ("nova-ha-recover",),
    ("nova-ha-recover", "compute1", "--plan"), ("nova-ha", "status"), ("nova-ha", "host", "list"),
    ("nova-ha", "incident", "list"), ("nova-ha-probe", "compute1"),
]
# With the tree readable these have all that they read; that Consul hides its nodes is for the others to notice.
KEYS_SUFFICE = COMMANDS[4:]


def run(lab):
    for node in lab.ha_nodes:
        lab.stop_recoveries(node.name)
    lab.panic("compute1")
    incident = lab.wait_incident("compute1", "open", 90)
    for name, rules in TOKENS.items():
        token = lab.consul.make_policy_and_token(f"blind-{name}", rules, str(uuid.uuid4()))
        for words in COMMANDS:
            done = lab.machine("ha1").exec(*words, env={"CONSUL_HTTP_TOKEN": token, "CONSUL_HTTP_TOKEN_FILE": ""})
            if name == "keys-only" and words in KEYS_SUFFICE:
                continue
            assert done.code != 0, f"{name}: took what it may not read for empty: {done}"
            assert "nothing to" not in done.out and "nobody is suspect" not in done.out, f"{name}: {done}"
            assert done.err.strip() or done.out.strip(), f"{name}: {words} says nothing"
            if words[0] == "nova-ha-probe":
                assert done.code == 1, f"{name}: our own fault must never look like a dead host: {done}"
    now = lab.incident_of("compute1")
    assert (now.record, now.journal, now.lock_session) == (incident.record, [], None), f"{now}, it was {incident}"
    assert not lab.flag("compute1", "recovered") and not lab.shots() and not lab.evacuations()
    # One that may read goes on at once. Nothing tries again here where one run ends early.
    wait.until("ha2 closes it", lambda: closes(lab, "ha2"), 150, 1)
    expect.recovered(lab, "compute1", 60)


def closes(lab, node):
    """Whether the incident is closed after a run of `recover`."""
    lab.product(node, "nova-ha-recover", timeout=120)
    return lab.incident_of("compute1").state == "closed"
