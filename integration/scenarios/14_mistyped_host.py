"""A mistyped host makes no ghost: every command names it in a clear error, exits non-zero, and changes nothing."""

from novalab import expect

HOSTS = "ha_cluster/compute_nodes/"


def run(lab):
    before = kept(lab)
    probe = lab.product("ha1", "nova-ha-probe", "compute11")
    assert probe.code == 1 and "compute11" in probe.out + probe.err, probe
    # compute1 is a prefix of it: nothing of compute1 may answer for it.
    for words in (("nova-ha-mark-failed", "compute11"), ("nova-ha", "host", "show", "compute11"),
                  ("nova-ha", "reset", "compute11", "--by", "maria", "--yes", "compute11")):
        done = lab.admin(*words, check=False)
        assert done.code != 0 and "compute11" in done.out + done.err, done
    assert kept(lab) == before
    assert not lab.consul.keys(f"{HOSTS}compute11/")
    expect.untouched(lab)


def kept(lab):
    """The tree's keys of hosts, but for what an observer writes where a healthy host was slow to answer once."""
    return sorted(key for key in lab.consul.keys(HOSTS) if "/internal/observers/" not in key)
