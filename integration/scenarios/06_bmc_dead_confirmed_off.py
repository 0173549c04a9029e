"""A dead host whose BMC is dead too is recovered after a person looked and confirmed that it is off.

The word is taken after a look, and not for a host that answers. One that hangs later, with its kernel still taking
connections, is not evacuated on a word that was given before anybody knew of that.
"""

from novalab import expect, wait

TIME_LIMIT = 420
# Of three hosts the second that fails within the hour would be left to a person.
SHAPE = {"hosts": 4}


def run(lab):
    wrong_machine(lab)
    lab.kill_bmc("compute1")
    lab.cut("compute1")
    lab.wait_incident("compute1", "waiting")
    assert not lab.evacuations(), "it waits for that person"
    lab.admin("nova-ha", "confirm-off", "compute1", "--by", "maria", "--ttl", "10m", "--yes", "compute1")
    incident = expect.recovered(lab, "compute1")
    assert "maria" in str(incident.journal), "the journal names who said so"
    assert not lab.shots()


def wrong_machine(lab):
    """Maria stands before another machine: compute2 is well, and its incident waits, for its BMC is dead."""
    for node in lab.ha_nodes:
        lab.recover(node.name)  # It publishes what it reads; until then no second word is taken.
    lab.kill_bmc("compute2")
    ordered = lab.product("ha1", "nova-ha-mark-failed", "compute2", "--by", "maria", "--yes", "compute2", check=False)
    assert ordered.code == 3 and "NOT ordered, it may live" in ordered.out, ordered
    lab.product("ha1", "nova-ha-mark-failed", "compute2", "--by", "maria", "--yes", "compute2", "--although-it-answers", check=False)
    word = ["nova-ha", "confirm-off", "compute2", "--by", "maria", "--yes", "compute2", "--although-its-agent-answers",
            "--although-its-address-answers", "--although-the-votes-do-not-say-dead"]
    refused = lab.admin(*word, check=False)
    assert refused.code == 1 and "own SSH host key" in refused.err, refused
    lab.hang("compute2")
    lab.wait_for_agent("compute2", "critical")
    # It does not show its key any more, and its kernel takes connections: the word is taken, and does not count.
    lab.admin(*word)
    lab.wait_incident("compute2", "waiting")
    wait.never("a guest of the host that hangs is evacuated", lab.evacuations, 30)
    lab.unhang("compute2")
    lab.wait_for_agent("compute2")
    incident = lab.incident_of("compute2")
    lab.admin("nova-ha", "incident", "hold", incident.id, "--reason", "it lives", "--by", "maria")
    wait.until("nobody works on it", lambda: lab.incident_of("compute2").lock_session is None, 30)
    lab.admin("nova-ha", "incident", "abandon", incident.id, "--by", "maria", "--yes", "compute2")
    assert lab.lives("compute2") and not lab.shots("compute2")
