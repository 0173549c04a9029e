"""With ACLs on, default deny, and the generated policies: a recovery works, and a token that may not read takes nothing for empty."""

import uuid

from novalab import expect

SHAPE = {"acl": True}
MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 150


def run(lab):
    blind = lab.consul.make_policy_and_token("blind", 'node_prefix "" { policy = "read" }', str(uuid.uuid4()))
    for words in (("nova-ha-mark-failed",), ("nova-ha-recover",), ("nova-ha", "status"), ("nova-ha-probe", "compute1")):
        done = lab.machine("ha1").exec(*words, env={"CONSUL_HTTP_TOKEN": blind, "CONSUL_HTTP_TOKEN_FILE": ""})
        assert done.code != 0, f"took what it may not read for an empty tree: {done}"
        assert done.code == 1 or words[0] != "nova-ha-probe", f"our own fault must never look like a dead host: {done}"
    expect.untouched(lab)
    lab.panic("compute1")
    expect.recovered(lab, "compute1", 90)
