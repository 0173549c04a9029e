"""A tenant keeps one guest in rebuild while its host dies: that guest is held, and nobody else waits for it.

The incident closes with one guest held, a second host is recovered meanwhile, and the first one is not given back. Once the guest
rests, `incident retry` recovers it: on a new proof that the host is off, without another shot.
"""

from novalab import expect, wait

ON, OTHER = "compute1", "compute3"
MAY_BE_SHOT = [ON, OTHER]
SHAPE = {"hosts": 4, "guests": 8}
TIME_LIMIT = 420


def run(lab):
    mine = sorted(name for name, guest in lab.guests().items() if guest["host"] == ON)
    rebuilt, others = mine[0], mine[1:]
    lab.cloud.set_guests({"name": rebuilt, "task_state": "rebuilding"})
    lab.panic(ON)
    incident = lab.wait_incident(ON, "closed", 180)
    assert incident.outcomes() == {rebuilt: "held", **dict.fromkeys(others, "recovered")}, incident.outcomes()
    assert f"1 guest held: {rebuilt}" in incident.journal[-1]["what"]["summary"], incident.journal[-1]
    assert not expect.in_use(lab, incident.holder), f"{incident.holder} waits for one guest"
    server = incident.guests[rebuilt]["server"]
    settle = f"nova-ha guest settle {incident.id} {server}"
    for words in (("status",), ("incident", "show", incident.id)):
        said = lab.admin("nova-ha", *words, check=False)
        assert said.code == 3 and settle in " ".join(said.out.split()), said

    # Nobody else waits for it.
    lab.panic(OTHER)
    second = lab.wait_incident(OTHER, "closed", 180)
    lab.assert_power(OTHER, "off")
    assert second.guests and set(second.outcomes().values()) == {"recovered"}, second.outcomes()

    reset = ("nova-ha", "reset", ON, "--by", "maria", "--yes", ON, "--maintenance")
    refused = lab.admin(*reset, check=False)
    assert refused.code == 1 and f"{rebuilt} ({server})" in refused.err and settle in refused.err, refused
    assert lab.flag(ON, "failed") and lab.flag(ON, "recovered"), "a refused reset changed something"

    # Its owner has stopped, and an administrator cleared what Nova thinks is being done.
    lab.cloud.set_guests({"name": rebuilt, "task_state": None})
    shots = len(lab.shots())
    lab.admin("nova-ha", "incident", "retry", incident.id, "--by", "maria")

    def is_recovered():
        found = lab.incident_of(ON)
        return found if found.state == "closed" and found.outcomes()[rebuilt] == "recovered" else None

    again = wait.until(f"{rebuilt} is recovered", is_recovered, 200)
    assert again.id == incident.id and set(again.outcomes().values()) == {"recovered"}, again.outcomes()
    facts = [fact for event in again.events("started", "evacuate") for fact in event["facts"]]
    assert any("order of maria" in fact for fact in facts) and any(fact.startswith("off: ") for fact in facts), facts
    lab.assert_power(ON, "off")
    assert len(lab.shots()) == shots, f"shot again: {lab.shots()[shots:]}"
    guest = lab.guests()[rebuilt]
    running = [machine for machine in guest["running_on"] if lab.lives(machine)]
    assert guest["host"] != ON and running == [guest["host"]] and guest["disk"] == "original", guest
    posts = [post["guest"] for post in lab.cloud.state()["evacuate_posts"]]
    assert all(posts.count(name) == 1 for name in mine), posts
    lab.admin(*reset)
    assert not lab.flag(ON, "failed") and not lab.flag(ON, "recovered")
