# nova-ha-boot-guard on host compute2: reads whether compute2 may start its guests' disks and nova-compute, and
# writes that a person overrode it.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/status/failed" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/returning" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/compute2@" {
  policy = "read"
}
key "ha_cluster/compute_nodes/compute2/internal/boot_guard" {
  policy = "write"
}
