# nova-ha-recover on HA node @HA_NODE@: the one that may read how to power a machine off.
# Give its token file to root alone.

key_prefix "ha_cluster/" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/" {
  policy = "write"
}

# What the checks open: it becomes an incident, and goes.
key_prefix "ha_cluster/opened/" {
  policy = "write"
}

# What people say: a sign of life ends a word, and both go with their incident.
key_prefix "ha_cluster/orders/" {
  policy = "write"
}
key_prefix "ha_cluster/words/" {
  policy = "write"
}

# Where host @HOST@ answers and by which key it is known, and never how to log in.
key "ha_cluster/compute_nodes/@HOST@/config/ssh/password" {
  policy = "deny"
}
key "ha_cluster/compute_nodes/@HOST@/config/ssh/private_key" {
  policy = "deny"
}

# The same of HA node @ANY_HA_NODE@.
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/password" {
  policy = "deny"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/config/ssh/private_key" {
  policy = "deny"
}

key "ha_cluster/recovery_queue" {
  policy = "write"
}

# The lock's session belongs to this node; serfHealth of all nodes for the look before the shot.
session "@CONSUL_NODE@" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}

# Which formats this HA node reads, so that the others write nothing that it does not.
key "ha_cluster/ha_nodes/@HA_NODE@/internal/formats" {
  policy = "write"
}

# The claim of host @HOST@. `failed` is never written here: only an administrator takes it back.
key "ha_cluster/compute_nodes/@HOST@/status/recovered" {
  policy = "write"
}

# Claim and release of HA node @ANY_HA_NODE@: an adopter releases another's.
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/status/in_use" {
  policy = "write"
}
key "ha_cluster/ha_nodes/@ANY_HA_NODE@/internal/in_use_by" {
  policy = "write"
}
