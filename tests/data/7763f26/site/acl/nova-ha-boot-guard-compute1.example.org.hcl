# nova-ha-boot-guard on host compute1.example.org: reads whether compute1.example.org may start its guests' disks and nova-compute, and
# writes that a person overrode it.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/status/failed" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/returning" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/compute1.example.org@" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute1.example.org/internal/boot_guard" {
  policy = "write"
}
