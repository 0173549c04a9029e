# nova-ha-recover on HA node ha2: the one that may read how to power a machine off.
# Give its token file to root alone.

key_prefix "ha_cluster/" {
  policy = "read"
}
key_prefix "ha_cluster/incidents/" {
  policy = "write"
}
key "ha_cluster/recovery_queue" {
  policy = "write"
}

# The lock's session belongs to this node; serfHealth of all nodes for the look before the shot.
session "ha2" {
  policy = "write"
}
node_prefix "" {
  policy = "read"
}
agent_prefix "" {
  policy = "read"
}

# The claim of host compute1.example.org. `failed` is never written here: only an administrator takes it back.
key "ha_cluster/compute_nodes/compute1.example.org/status/recovered" {
  policy = "write"
}

# The claim of host compute2. `failed` is never written here: only an administrator takes it back.
key "ha_cluster/compute_nodes/compute2/status/recovered" {
  policy = "write"
}

# The claim of host compute3. `failed` is never written here: only an administrator takes it back.
key "ha_cluster/compute_nodes/compute3/status/recovered" {
  policy = "write"
}

# Claim and release of HA node ha1: an adopter releases another's.
key "ha_cluster/ha_nodes/ha1/status/in_use" {
  policy = "write"
}
key "ha_cluster/ha_nodes/ha1/internal/in_use_by" {
  policy = "write"
}

# Claim and release of HA node ha2: an adopter releases another's.
key "ha_cluster/ha_nodes/ha2/status/in_use" {
  policy = "write"
}
key "ha_cluster/ha_nodes/ha2/internal/in_use_by" {
  policy = "write"
}

# Claim and release of HA node ha3: an adopter releases another's.
key "ha_cluster/ha_nodes/ha3/status/in_use" {
  policy = "write"
}
key "ha_cluster/ha_nodes/ha3/internal/in_use_by" {
  policy = "write"
}
