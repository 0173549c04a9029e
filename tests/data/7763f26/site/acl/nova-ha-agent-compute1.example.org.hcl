# The Consul agent of host compute1.example.org (its agent and default token): itself and its checks.

node "compute1.example.org" {
  policy = "write"
}
agent "compute1.example.org" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
service_prefix "" {
  policy = "read"
}
