# nova-ha-boot-guard on host @SELF@: reads whether @SELF@ may start its guests' disks and nova-compute, and
# writes that a person overrode it.

key "ha_cluster/meta" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/general" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/status/failed" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/internal/epoch" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/internal/returning" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/internal/runtime_config" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/@SELF@@" {
  policy = "read"
}
key_prefix "ha_cluster/opened/@SELF@@" {
  policy = "read"
}
key "ha_cluster/compute_nodes/@SELF@/internal/boot_guard" {
  policy = "write"
}
