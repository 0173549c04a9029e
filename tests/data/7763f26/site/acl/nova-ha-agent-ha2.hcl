# The Consul agent of HA node ha2 (its agent and default token): itself, its checks, and
# what its two watches look at. No machine's keys.

node "ha2" {
  policy = "write"
}
agent "ha2" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
key "ha_cluster/recovery_queue" {
  policy = "read"
}
