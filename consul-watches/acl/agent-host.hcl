# The Consul agent of host @SELF@ (its agent and default token): itself and its checks.

node "@CONSUL_NODE@" {
  policy = "write"
}
agent "@CONSUL_NODE@" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
