"""The HA node that recovers loses its power in mid-evacuation: another adopts only when it is voted dead, and ends it.

No guest is posted a second time while the dead holder's evacuation is accepted or running. The host is given back only when a person has
said that the dead holder is through with it: nobody else can.
"""

from novalab import expect

MAY_BE_SHOT = ["compute1"]
SHAPE = {"targets": {"mode": "hosts", "hosts": ["compute2", "compute3"]}, "cloud_seed": {"evacuate_seconds": 4, "token_seconds": 120}}
TIME_LIMIT = 360


def run(lab):
    holder = expect.holder_dies_in_mid_evacuation(lab, "compute1")
    adopted = expect.adopted(lab, "compute1", holder, 120)
    expect.recovered(lab, "compute1", 90)
    assert not lab.shots(holder), "with shared storage nobody has to shoot the dead holder"
    assert not expect.in_use(lab, holder) and not expect.in_use(lab, adopted.holder)
    words = ("nova-ha", "reset", "compute1", "--by", "maria", "--yes", "compute1", "--maintenance", "--wait", "0s")
    refused = lab.admin(*words, check=False)
    assert refused.code == 1 and f"--gone {holder}" in refused.err and adopted.holder not in refused.err, refused
    assert lab.flag("compute1", "failed"), "a refused reset changed something"
    lab.admin(*words, "--gone", holder)
    assert not lab.flag("compute1", "failed")
