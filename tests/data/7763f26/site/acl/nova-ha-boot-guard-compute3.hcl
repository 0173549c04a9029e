# nova-ha-boot-guard on host compute3: reads whether compute3 may start its guests' disks and nova-compute, and
# writes that a person overrode it.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/status/failed" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/returning" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/compute3@" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute3/internal/boot_guard" {
  policy = "write"
}
