# The Consul agent of HA node ha3 (its agent and default token): itself, its checks, and
# what its two watches look at. No machine's keys.

node "ha3.example.org" {
  policy = "write"
}
agent "ha3.example.org" {
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
