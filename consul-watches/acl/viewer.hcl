# Who looks: `nova-ha status`, `incident list`, `incident show`, `host list`, `ha-node list`, `policy show`, dashboards.
# Nothing is written, and no password, key or fence level of a machine is read.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/policy" {
  policy = "read"
}
key "ha_cluster/cooldown" {
  policy = "read"
}
key "ha_cluster/recovery_queue" {
  policy = "read"
}
key "ha_cluster/machines_added" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/" {
  policy = "read"
}
key_prefix "ha_cluster/opened/" {
  policy = "read"
}
key_prefix "ha_cluster/orders/" {
  policy = "read"
}
key_prefix "ha_cluster/words/" {
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

# Host @HOST@.
key "ha_cluster/compute_nodes/@HOST@/general" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/@HOST@/status/" {
  policy = "read"
}
key_prefix "ha_cluster/compute_nodes/@HOST@/internal/" {
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
key "ha_cluster/compute_nodes/@HOST@/config/bound" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/bmc/identity" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/user" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/address" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/port" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/host_key" {
  policy = "read"
}

# HA node @ANY_HA_NODE@.
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/general" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/@ANY_HA_NODE@/status/" {
  policy = "read"
}
key_prefix "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/maintenance" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/agent" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/names" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/bound" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/bmc/identity" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/user" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/address" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/port" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/host_key" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/os_cloud" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/nova_mountpoint" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/nova_user" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/storage" {
  policy = "read"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/targets" {
  policy = "read"
}
