"""The HA node that recovers loses its power in mid-evacuation: another adopts only when it is voted dead, and ends it.

No guest is posted a second time while the dead holder's evacuation is accepted or running.
"""

from novalab import expect, wait

MAY_BE_SHOT = ["compute1", "ha1", "ha2", "ha3"]
SHAPE = {"targets": {"mode": "hosts", "hosts": ["compute2", "compute3"]}, "cloud_seed": {"evacuate_seconds": 4}}
TIME_LIMIT = 180


def run(lab):
    lab.panic("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 60)
    wait.until("an evacuation was posted", lab.evacuations, 20)
    holder = lab.incident_of("compute1").holder
    lab.cut(holder)
    adopted = lab.wait_journal("compute1", "adopted", timeout=90)
    assert adopted.holder != holder, adopted
    assert "holder_dead" in str(adopted.events("adopted")[0]["ground"]), adopted.events("adopted")
    expect.recovered(lab, "compute1", 60)
