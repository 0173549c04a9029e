# `nova-ha`, for administrators: the whole tree.

key_prefix "ha_cluster/" {
  policy = "write"
}
service "nova-ha" {
  policy = "read"
}
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}
