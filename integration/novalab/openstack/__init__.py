"""A real OpenStack control plane for the lab: `--cloud openstack`.

keystone, placement, glance, nova-api, nova-conductor and nova-scheduler on MariaDB and RabbitMQ live in the network
namespace of the node `cloud`, where the simulated cloud lives else; every host has a nova-compute of its own inside
its machine, so that a power cut kills that as well. Only three things are not the real ones: the hypervisor (Nova's
fake driver with disks and a memory that outlasts a restart: `labdisk.py`), Neutron (`neutron.py` answers empty lists)
and the front door of nova-api (`gate.py` records what passes and can lose an answer; what it answers is Nova's own).

Start reading at `cloud.py` (what scenarios see), then `plane.py` (which processes there are, in which order) and
`template.py` (why a bring-up is not a minute of schema migrations).
"""
