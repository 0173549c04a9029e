"""A host whose cable flaps, each time for less than the threshold, is not marked: consecutive failures start anew."""

from novalab import expect


def run(lab):
    lab.flap("compute1", times=6, down=1.5, up=4.5)
    assert not lab.incident_ids("compute1")
    assert lab.observed("compute1"), "no observer noticed anything: this proves nothing"
    lab.wait_for_agent("compute1")
    lab.never_marked("compute1", 8)
    expect.untouched(lab)
