# nova-ha-mark-failed: judges on the observers' records and opens incidents.
# No secret of any machine; it cannot power anything off.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/policy" {
  policy = "read"
}
key "ha_cluster/cooldown" {
  policy = "write"
}
key "ha_cluster/recovery_queue" {
  policy = "write"
}
key_prefix "ha_cluster/incidents/" {
  policy = "write"
}

# serfHealth of all nodes, and the agent's own name.
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}

# Host compute1.example.org. Only `failed` is written; the others are compared in the same transaction.
key "ha_cluster/compute_nodes/compute1.example.org/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/status/failed" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute1.example.org/status/recovered" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute1.example.org/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/config/maintenance" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/config/agent" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/config/names" {
  policy = "read"
}

# Host compute2. Only `failed` is written; the others are compared in the same transaction.
key "ha_cluster/compute_nodes/compute2/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/status/failed" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute2/status/recovered" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute2/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/config/maintenance" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/config/agent" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/config/names" {
  policy = "read"
}

# Host compute3. Only `failed` is written; the others are compared in the same transaction.
key "ha_cluster/compute_nodes/compute3/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/status/failed" {
  policy = "write"
}
key "ha_cluster/compute_nodes/compute3/status/recovered" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/compute3/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/config/maintenance" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/config/agent" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/config/names" {
  policy = "read"
}

# HA node ha1, whose vote is counted.
key "ha_cluster/ha_nodes/ha1/general" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/config/names" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/config/agent" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/config/maintenance" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha1/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha1/internal/observers/" {
  policy = "read"
}

# HA node ha2, whose vote is counted.
key "ha_cluster/ha_nodes/ha2/general" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/config/names" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/config/agent" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/config/maintenance" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha2/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha2/internal/observers/" {
  policy = "read"
}

# HA node ha3, whose vote is counted.
key "ha_cluster/ha_nodes/ha3/general" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha3/config/names" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha3/config/agent" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha3/config/maintenance" {
  policy = "read"
}
key "ha_cluster/ha_nodes/ha3/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/ha3/internal/observers/" {
  policy = "read"
}
