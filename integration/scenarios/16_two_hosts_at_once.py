"""Two hosts of four die in the same second, with the policy as it is in the code: both are recovered, by HA nodes that are free again at the end.

All three HA nodes vote on both, and see a third host healthy meanwhile: that is what the evidence says.
"""

from novalab import expect

MAY_BE_SHOT = ["compute1", "compute3"]
SHAPE = {"hosts": 4}


def run(lab):
    lab.panic("compute1")
    lab.panic("compute3")
    one = lab.wait_incident("compute1", "closed", 90)
    other = lab.wait_incident("compute3", "closed", 60)
    assert one.holder and other.holder
    for incident in (one, other):
        assert {vote["observer"] for vote in incident.evidence["votes"]} == {"ha1", "ha2", "ha3"}, incident.evidence
    for host in ("compute1", "compute3"):
        lab.assert_power(host, "off")
    guests = lab.guests().values()
    assert all(g["host"] not in ("compute1", "compute3") for g in guests), [(g["name"], g["host"]) for g in guests]
    assert expect.in_use(lab, one.holder) is False and expect.in_use(lab, other.holder) is False
