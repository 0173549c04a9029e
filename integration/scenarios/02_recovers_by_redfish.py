"""A host whose BMC speaks Redfish is shot although that BMC answers before the power is gone."""

from novalab import expect

MAY_BE_SHOT = ["compute2"]


def run(lab):
    lab.panic("compute2")
    expect.recovered(lab, "compute2")
    shots = lab.shots("compute2")
    assert shots and all(s["via"] == "redfish" and s["what"] == "off" for s in shots), shots
