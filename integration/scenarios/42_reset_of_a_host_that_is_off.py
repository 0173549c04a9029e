"""`reset` of a host that is still off is refused, but with maintenance; a host that was reset is not shot again at once."""

from novalab import expect

MAY_BE_SHOT = ["compute1"]
TIME_LIMIT = 360


def run(lab):
    lab.panic("compute1")
    expect.recovered(lab, "compute1", 90)
    shots = len(lab.shots())
    words = ("nova-ha", "reset", "compute1", "--by", "maria", "--yes", "compute1")
    refused = lab.admin(*words, check=False)
    assert refused.code != 0 and "--maintenance" in refused.err, refused
    assert lab.flag("compute1", "failed") and lab.flag("compute1", "recovered"), "a refused reset changed something"
    lab.admin(*words, "--maintenance")
    assert not lab.flag("compute1", "failed") and not lab.flag("compute1", "recovered")
    # Its observers go on seeing it fail, and sweep.
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha-mark-failed", "--sweep")
    lab.never_marked_again("compute1", 15)
    lab.power_on("compute1")
    lab.wait_for_agent("compute1")
    lab.wait_observed()
    lab.admin("nova-ha", "maintenance", "off", "compute1", "--by", "maria")
    for node in lab.ha_nodes:
        lab.product(node.name, "nova-ha-mark-failed", "--sweep")
    lab.never_marked_again("compute1", 10)
    assert len(lab.shots()) == shots, lab.shots()[shots:]
    assert lab.lives("compute1")
