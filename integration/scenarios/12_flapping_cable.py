"""A host whose cable flaps, each time for less than the threshold, is not marked: consecutive failures start anew."""

from novalab import expect
from novalab.product import PACE

TIME_LIMIT = 180


def run(lab):
    lab.flap("compute1", times=4, down=4 * PACE, up=8 * PACE)
    assert not lab.incident_ids("compute1")
    assert lab.observed("compute1"), "no observer noticed anything: this proves nothing"
    lab.wait_for_agent("compute1")
    lab.never_marked("compute1", 8)
    expect.untouched(lab)
