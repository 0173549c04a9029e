"""Real Nova: `recover` is killed while evacuations are on their way, and again when it has resumed: run again it attaches
to what is under way, and no guest is evacuated twice."""

from collections import Counter

from novalab import expect, wait

# More guests than may be under way at once: 16 by default, for which real Nova would have to make and move four times as many.
SHAPE = {"cloud": "openstack", "hosts": 2, "ha_nodes": 3, "fences": {}, "policy": {"evacuation_parallel": "2"}, "cloud_seed": {
    "evacuate_seconds": 4, "guests": [{"name": f"vm-{n:02}", "host": "compute1"} for n in range(1, 6)]}}
MAY_BE_SHOT = ["compute1"]


def run(lab):
    lab.panic("compute1")
    lab.wait_journal("compute1", "started", "evacuate", 120)
    for posted in (1, 3):
        wait.until(f"{posted} evacuations were posted", lambda n=posted: len(lab.evacuations()) >= n, 60)
        holder = lab.incident_of("compute1").holder
        assert lab.kill_recover(holder), "recover had ended already"
        under_way = [m for m in lab.cloud.state()["migrations"] if m["status"] in ("accepted", "pre-migrating")]
        assert under_way, "nothing was under way any more: the kill came too late"
        lab.machine(holder).spawn("nova-ha-recover", env=lab.admin_env(), log="recover.log")
    expect.recovered(lab, "compute1", 120)
    accepted = Counter(m["guest"] for m in lab.cloud.state()["migrations"])
    assert set(accepted.values()) == {1} and len(accepted) == 5, f"evacuations by guest: {accepted}"
