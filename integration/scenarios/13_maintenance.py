"""A host in maintenance may die: it is not marked, `mark-failed` says why, and nobody shoots it."""

from novalab import expect


def run(lab):
    lab.admin("nova-ha", "maintenance", "on", "compute1", "--by", "maria")
    lab.cut("compute1")
    lab.wait_votes("compute1")
    lab.never_marked("compute1", 10)
    said = lab.product("ha2", "nova-ha-mark-failed", "compute1")
    assert "maintenance" in (said.out + said.err).lower(), said
    expect.untouched(lab)
