# nova-ha-runtime-info on host @SELF@: publishes what this host is, and nothing else.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/config/names" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/internal/runtime_config" {
  policy = "write"
}
