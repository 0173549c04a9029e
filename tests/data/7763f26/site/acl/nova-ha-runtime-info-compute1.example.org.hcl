# nova-ha-runtime-info on host compute1.example.org: publishes what this host is, and nothing else.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/config/names" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/runtime_config" {
  policy = "write"
}
