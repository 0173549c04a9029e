"""A simulated OpenStack cloud for the lab: keystone and the part of Nova that a recovery touches.

It answers as real Nova does where that matters to a recovery: evacuations are asynchronous and
refused while the source is up, lists are paged, microversions decide what a body may contain.
It also watches what real Nova cannot: whether a guest runs on two living hosts.

Start reading at `world.py` (what exists), then `evacuation.py` (what an evacuation does to it),
then `nova_api.py` (how it is asked). It belongs to the lab and never to the product.

The seed, JSON, all but `hosts` optional:

    {"hosts": ["c1", {"name": "c2", "hypervisor_hostname": "c2.example.org", "slots": 4}],
     "ha_nodes": ["ha1"],                     they run nova-compute too: the targets
     "guests": [{"name": "g0", "host": "c1", "vm_state": "active", "metadata": {}, "fate": "ok"}],
     "evacuate_seconds": 2, "service_down_seconds": 6, "token_seconds": 3600, "max_limit": 1000,
     "max_microversion": "2.104",
     "heartbeats": "manual",                  or "auto": hosts report until `/_sim/hosts` says dead
     "users": [{"name": "admin", "password": "secret", "project": "admin"}],   "role": "member" is a tenant (`tenant.py`)
     "application_credentials": [{"id": "lab-credential", "name": "lab", "secret": "lab-secret",
                                  "user": "admin", "project": "admin"}],
     "catalog": {"region": "RegionOne", "interfaces": ["public"], "compute": true}}

keystone is at `/v3`, Nova at `/compute/v2.1`, placement at `/placement`, the back door at `/_sim` (`backdoor.py`, `faults.py`).
`GET /_sim/state` has everything, with `violations`: each is something that must never happen.
Its tests: `PYTHONPATH=integration python3 -m unittest discover -s integration/simcloud/tests -t integration`.
"""
