"""Two hosts die in the same second with the limit at two: both are recovered, by HA nodes that are free again at the end."""

from novalab import expect

MAY_BE_SHOT = ["compute1", "compute3"]
SHAPE = {"policy": {"storm_limit": "2"}}


def run(lab):
    lab.panic("compute1")
    lab.panic("compute3")
    one = lab.wait_incident("compute1", "closed", 90)
    other = lab.wait_incident("compute3", "closed", 60)
    assert one.holder and other.holder
    for host in ("compute1", "compute3"):
        lab.assert_power(host, "off")
    guests = lab.guests().values()
    assert all(g["host"] not in ("compute1", "compute3") for g in guests), [(g["name"], g["host"]) for g in guests]
    assert expect.in_use(lab, one.holder) is False and expect.in_use(lab, other.holder) is False
