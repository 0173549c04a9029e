# The Consul agent of HA node @HA_NODE@ (its agent and default token): itself, its checks, and
# what its two watches look at. No machine's keys.

node "@CONSUL_NODE@" {
  policy = "write"
}
agent "@CONSUL_NODE@" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
# Its checks belong to a service of their own. Without this Consul refuses them, and what it had before stays.
service "nova-ha" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
key "ha_cluster/recovery_queue" {
  policy = "read"
}
