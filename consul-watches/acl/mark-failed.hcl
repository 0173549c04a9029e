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
# What it opens. What a recovery writes down it reads, to see which incidents are open.
key_prefix "ha_cluster/opened/" {
  policy = "write"
}
key_prefix "ha_cluster/incidents/" {
  policy = "read"
}

# serfHealth of all nodes, whether each HA node's checks run, and the agent's own name.
service "nova-ha" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}

# Host @HOST@. Only `failed` is written; the others are compared in the same transaction.
key "ha_cluster/compute_nodes/@HOST@/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/status/failed" {
  policy = "write"
}
key "ha_cluster/compute_nodes/@HOST@/status/recovered" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/internal/epoch" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/@HOST@/internal/observers/" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/maintenance" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/agent" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/names" {
  policy = "read"
}
# A person's order looks first whether the host answers: a handshake, no login.
key "ha_cluster/compute_nodes/@HOST@/config/ssh/address" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/port" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/host_key" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/internal/runtime_config" {
  policy = "read"
}
# Whether a host is bound to what it published: the sweep says which ones are not.
key "ha_cluster/compute_nodes/@HOST@/config/bound" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/bmc/identity" {
  policy = "read"
}

# HA node @ANY_HA_NODE@, whose vote is counted.
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/general" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/names" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/agent" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/maintenance" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/epoch" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/status/in_use" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/in_use_by" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/formats" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/observers/" {
  policy = "read"
}
