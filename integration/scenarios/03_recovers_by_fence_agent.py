"""A host fenced by a ClusterLabs agent (`fence_ipmilan`) is shot by it, and its guests run elsewhere."""

from novalab import expect

MAY_BE_SHOT = ["compute3"]


def run(lab):
    lab.panic("compute3")
    expect.recovered(lab, "compute3")
    shots = lab.shots("compute3")
    assert shots and all(s["via"] == "ipmi" and s["what"] == "off" for s in shots), shots
