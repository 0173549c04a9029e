# nova-ha-runtime-info on host compute3: publishes what this host is, and nothing else.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/config/names" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/runtime_config" {
  policy = "write"
}
