"""A host that lost its power needs no shot: *already off* is read, and its guests run elsewhere."""

from novalab import expect


def run(lab):
    lab.cut("compute1")
    incident = expect.recovered(lab, "compute1")
    assert not lab.shots(), f"nobody had to be shot: {lab.shots()}"
    assert incident.events("finished", "fence")[0]["outcome"] == "already_so", incident.events("finished", "fence")
