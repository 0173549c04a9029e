# Who is on call, beside the policies nova-ha-viewer and nova-ha-mark-failed: orders to fence (`nova-ha-mark-failed HOST
# --by NAME`), words (`nova-ha confirm-off`, also of one device), `nova-ha incident hold|resume|retry`, `nova-ha guest settle`, maintenance, the cool-down.
# It changes no machine's configuration and reads no secret.

key_prefix "ha_cluster/orders/" {
  policy = "write"
}
key_prefix "ha_cluster/words/" {
  policy = "write"
}
key "ha_cluster/recovery_queue" {
  policy = "write"
}
key "ha_cluster/cooldown" {
  policy = "write"
}

# Host @HOST@.
key "ha_cluster/compute_nodes/@HOST@/config/maintenance" {
  policy = "write"
}

# HA node @ANY_HA_NODE@.
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/maintenance" {
  policy = "write"
}
