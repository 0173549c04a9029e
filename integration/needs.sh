#!/bin/sh
# Says in one line what the product's tests need and this machine lacks, and ends with 1; silent, with 0, where nothing is.
# Who runs them asks it first: nextest by .config/nextest.toml, cargo test by tests/a_bare_machine.rs.
cache=${NOVA_HA_LAB_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/nova-ha-lab}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=
lacks() { missing="$missing${missing:+, }$1"; }

for name in ssh-keygen sshd ipmi_sim ipmitool fence_ipmilan fence_dummy openssl gzip setpriv systemd-analyze; do
  command -v "$name" >/dev/null 2>&1 || lacks "$name"
done
[ -x /usr/bin/python3 ] || lacks /usr/bin/python3
[ -x /usr/libexec/fence-agents/fence_kdump_send ] || lacks fence_kdump_send
[ -x "$cache/venv/bin/sushy-emulator" ] || lacks sushy-emulator
[ -f "${NOVA_HA_TEST_CONSUL:-}" ] || command -v consul >/dev/null 2>&1 || [ -f "$cache/consul/usr/bin/consul" ] ||
  [ -f "$cache/bin/consul" ] || lacks consul

[ -n "$missing" ] || exit 0
echo "The tests need what is not on this machine: $missing. As root on Debian 12, \`integration/lab test quick\` installs it." >&2
exit 1
