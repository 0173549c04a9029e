"""Machines with a kernel and disks of their own: User-mode Linux guests in the place of namespaces.

Start at machine.py (what such a machine is), then disks.py (the disks that hosts and HA nodes share) and guests.py
(what lies on them). `inside/` runs in the machine; everything else outside.
"""
