#!/bin/sh
# Records site/ beside this file anew: the tree, the ACL policies and the Consul configuration that nova-ha of the commit
# 7763f26 writes for the site of the scenario 27.
# Usage: tests/data/7763f26/record_site.sh [NOVA_HA]   (from a clone that has the commit; without NOVA_HA it is built first,
# which takes some minutes; needs consul)
# shellcheck disable=SC2046,SC2086  # login, bmc and $names are several words, or none.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
agent=
finish() {
    [ -z "$agent" ] || kill "$agent"
    [ -z "${tree:-}" ] || git -C "$here" worktree remove --force "$tree"
    rm -rf "$work"
}
trap finish EXIT
if [ $# -gt 0 ]; then
    nova_ha=$1
else
    tree=$work/tree
    git -C "$here" worktree add -q --detach "$tree" 7763f26
    (cd "$tree" && cargo build --bin nova-ha)
    nova_ha=$tree/target/debug/nova-ha
fi
port=18599
consul agent -dev -client 127.0.0.1 -bind 127.0.0.1 -http-port $port -dns-port -1 -grpc-port -1 -server-port 18600 \
    -serf-lan-port 18601 -serf-wan-port -1 >"$work/consul.log" 2>&1 &
agent=$!
CONSUL_HTTP_ADDR=127.0.0.1:$port
export CONSUL_HTTP_ADDR
until consul kv put ready yes >/dev/null 2>&1; do sleep 0.2; done
consul kv delete ready >/dev/null

say() { "$nova_ha" "$@" >/dev/null; }
# The lab's words, see integration/novalab/bmc.py, sshd.py and net.py: nothing is a reference, nothing is bound.
printf 'Bmc-secret.1' >"$work/bmc"
printf 'Lab-login.1' >"$work/ssh"
login() { echo --ssh-user lab --ssh-port 22 --ssh-password-file "$work/ssh" --ssh-address "10.77.1.$1"; }
bmc() { echo --bmc-ip "10.77.2.$1" --bmc-port 623 --bmc-user admin --bmc-password-file "$work/bmc" --bmc-cipher 3; }
say init
# As the lab's own policy, so that the scenario takes a minute.
for setting in probe_deadline=2800ms probe_interval=3s threshold=3 session_ttl=10s lease_margin=2s lock_delay=5s \
    post_settle=30s; do
    say policy set "${setting%%=*}" "${setting#*=}"
done
cat >"$work/agent.json" <<'END'
{"version": 1, "levels": [{"driver": "agent", "agent": "fence_ipmilan", "identity_confirmed_by": "the lab",
 "options": {"ip": "10.77.2.1", "ipport": "623", "username": "admin", "lanplus": "1", "cipher": "3", "verbose_level": "0"},
 "secret_options": {"password": "Bmc-secret.1"}}]}
END
cat >"$work/redfish.json" <<'END'
{"version": 1, "levels": [{"driver": "redfish", "url": "http://10.77.2.2:80", "user": "admin", "password": "Bmc-secret.1"}]}
END
say host add compute1.example.org $(login 1) --fence-file "$work/agent.json"
say host add compute2 $(login 2) --fence-file "$work/redfish.json" --consul-node rack2-node7
say host add compute3 $(login 3) $(bmc 3)
for number in 1 2 3; do
    names=
    [ $number != 3 ] || names="--consul-node ha3.example.org"
    say ha-node add ha$number $(login $((number + 3))) $(bmc $((number + 3))) --os-cloud lab \
        --targets this_ha_node --storage exec --nova-mountpoint /srv/pool/ha$number --nova-user root \
        --storage-exec "/opt/nova-ha/move-directory /srv/pool" $names
done
rm -rf "$here/site"
mkdir -p "$here/site"
consul kv export ha_cluster/ >"$here/site/tree.json"
say generate acl --out "$here/site/acl"
for host in compute1.example.org compute2 compute3; do
    say generate consul-config --host $host --bin-dir /opt/nova-ha/bin --token-dir /etc/nova-ha/tokens --out "$here/site/consul/$host"
done
for node in ha1 ha2 ha3; do
    say generate consul-config --ha-node $node --bin-dir /opt/nova-ha/bin --token-dir /etc/nova-ha/tokens --out "$here/site/consul/$node"
done
