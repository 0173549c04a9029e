"""A host that is logged in to by password and fenced by a ClusterLabs agent (`fence_ipmilan`): shot by it, its guests run elsewhere."""

from novalab import expect

MAY_BE_SHOT = ["compute3"]


def run(lab):
    a_right_password_is_healthy_and_a_wrong_one_is_cannot_tell(lab)
    lab.panic("compute3")
    expect.recovered(lab, "compute3")
    shots = lab.shots("compute3")
    assert shots and all(s["via"] == "ipmi" and s["what"] == "off" for s in shots), shots


def a_right_password_is_healthy_and_a_wrong_one_is_cannot_tell(lab):
    password = "ha_cluster/compute_nodes/compute3/config/ssh/password"
    right = lab.consul.get(password)
    assert right and not lab.consul.get("ha_cluster/compute_nodes/compute3/config/ssh/private_key")
    probe = lab.product("ha1", "nova-ha-probe", "compute3")
    assert probe.code == 0, f"{probe.code}: {probe.out}{probe.err}"
    lab.consul.put(password, "not-the-password")
    probe = lab.product("ha1", "nova-ha-probe", "compute3")
    assert probe.code == 1 and "rejected" in probe.out and "not-the-password" not in probe.out + probe.err, f"{probe.code}: {probe.out}"
    lab.consul.put(password, right)
    assert lab.product("ha1", "nova-ha-probe", "compute3").code == 0
