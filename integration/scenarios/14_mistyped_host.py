"""A mistyped host makes no ghost: every command names it in a clear error, exits non-zero, and changes nothing."""

from novalab import expect


def run(lab):
    before = sorted(lab.consul.keys("ha_cluster/compute_nodes/"))
    probe = lab.product("ha1", "nova-ha-probe", "compute11")
    assert probe.code == 1 and "compute11" in probe.out + probe.err, probe
    # compute1 is a prefix of it: nothing of compute1 may answer for it.
    for words in (("nova-ha-mark-failed", "compute11"), ("nova-ha", "host", "show", "compute11"),
                  ("nova-ha", "reset", "compute11", "--by", "maria", "--yes", "compute11")):
        done = lab.admin(*words, check=False)
        assert done.code != 0 and "compute11" in done.out + done.err, done
    assert sorted(lab.consul.keys("ha_cluster/compute_nodes/")) == before
    expect.untouched(lab)
