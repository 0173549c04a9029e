# The Consul agent of host compute2 (its agent and default token): itself and its checks.

node "rack2-node7" {
  policy = "write"
}
agent "rack2-node7" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
