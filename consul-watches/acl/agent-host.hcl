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
# Its checks belong to a service of their own. Without this Consul refuses them, and what it had before stays.
service "nova-ha" {
  policy = "write"
}
service_prefix "" {
  policy = "read"
}
