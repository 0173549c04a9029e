# The Consul agent of host compute3 (its agent and default token): itself and its checks.

node "compute3" {
  policy = "write"
}
agent "compute3" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
