"""The lab: real Consul, sshd, BMCs and hosts in network namespaces on one machine.

Start reading at `cluster.py` (what a lab consists of), then `machine.py` and `boot.py` (what a host is),
`latch.py` (what its power is) and `faults.py` (what can be done to it). `../README.md` has the tables.
"""
