# nova-ha-probe on HA node ha3: logs in to machines and writes down what it saw.
# No BMC, no flags, no names of others, no other observer's record.

key "ha_cluster/meta" {
  policy = "read"
}

# Host compute1.example.org: whether it is configured, its SSH access and pinned key, and its epoch, which every
# write compares. (Consul asks `write` to compare an absent key: `nova-ha host add` makes them all.)
key "ha_cluster/compute_nodes/compute1.example.org/general" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute1.example.org/config/ssh/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute1.example.org/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/observers/ha3" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/number_fails" {
  policy = "write"
}

# Host compute2: whether it is configured, its SSH access and pinned key, and its epoch, which every
# write compares. (Consul asks `write` to compare an absent key: `nova-ha host add` makes them all.)
key "ha_cluster/compute_nodes/compute2/general" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute2/config/ssh/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute2/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/observers/ha3" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute2/internal/number_fails" {
  policy = "write"
}

# Host compute3: whether it is configured, its SSH access and pinned key, and its epoch, which every
# write compares. (Consul asks `write` to compare an absent key: `nova-ha host add` makes them all.)
key "ha_cluster/compute_nodes/compute3/general" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute3/config/ssh/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute3/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/observers/ha3" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute3/internal/number_fails" {
  policy = "write"
}

# HA node ha1, watched in the same way.
key "ha_cluster/ha_nodes/ha1/general" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha1/config/ssh/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/internal/epoch" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha1/internal/observers/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/internal/observers/ha3" {
  policy = "write"
}
key "ha_cluster/ha_nodes/ha1/internal/number_fails" {
  policy = "write"
}

# HA node ha2, watched in the same way.
key "ha_cluster/ha_nodes/ha2/general" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha2/config/ssh/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/internal/epoch" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha2/internal/observers/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/internal/observers/ha3" {
  policy = "write"
}
key "ha_cluster/ha_nodes/ha2/internal/number_fails" {
  policy = "write"
}
