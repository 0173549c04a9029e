# nova-ha-runtime-info on host compute2: publishes what this host is, and nothing else.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/config/names" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/runtime_config" {
  policy = "write"
}
