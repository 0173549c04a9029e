# nova-ha-probe on HA node @HA_NODE@: logs in to machines and writes down what it saw.
# No BMC, no flags, no names of others, no other observer's record.
#
# A paragraph that names @HOST@, @PEER@ or @ANY_HA_NODE@ is repeated for each of them by
# `nova-ha generate acl`: ACL prefixes do not glob over the host in the middle of a key.

key "ha_cluster/meta" {
  policy = "read"
}

# Whether this machine is @HA_NODE@: what Consul calls that, and what the agent here calls itself.
key "ha_cluster/ha_nodes/@HA_NODE@/config/names" {
  policy = "read"
}
agent "@CONSUL_NODE@" {
  policy = "read"
}

# Host @HOST@: whether it is configured, its SSH access and pinned key, and its epoch, which every
# write compares. (Consul asks `write` to compare an absent key: `nova-ha host add` makes them all.)
key "ha_cluster/compute_nodes/@HOST@/general" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/@HOST@/config/ssh/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/@HOST@/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/internal/observers/@HA_NODE@" {
  policy = "write"
}
key "ha_cluster/compute_nodes/@HOST@/internal/number_fails" {
  policy = "write"
}

# HA node @PEER@: asked for its own host key, by a key exchange. No secret of it is read.
key "ha_cluster/ha_nodes/@PEER@/general" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/config/ssh/address" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/config/ssh/port" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/config/ssh/host_key" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/internal/epoch" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/@PEER@/internal/observers/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@PEER@/internal/observers/@HA_NODE@" {
  policy = "write"
}
key "ha_cluster/ha_nodes/@PEER@/internal/number_fails" {
  policy = "write"
}

# HA node @PEER_BY_LOGIN@ is logged in to, as a host is: nobody bound its host key (ha-node add --ssh-host-key-file).
key_prefix "ha_cluster/ha_nodes/@PEER_BY_LOGIN@/config/ssh/" {
  policy = "read"
}
