# `nova-ha`, for administrators: the whole tree.

key_prefix "ha_cluster/" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}
