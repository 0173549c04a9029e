# The Consul agent of HA node ha1 (its agent and default token): itself, its checks, and
# what its two watches look at. No machine's keys.

node "ha1" {
  policy = "write"
}
agent "ha1" {
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
