"""The nova-compute of a machine: the real one, with the lab's hypervisor among its drivers. Runs by the venv's Python.

    compute.py ADDRESS PORT... -- NOVA-COMPUTE-ARGUMENTS

Waits at first until the control plane listens on those ports: in the lab nothing starts again what has died, and a
machine boots faster than a database.
"""

import os
import socket
import sys
import time

DRIVERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hypervisor")


def wait_for(address, port):
    """For ever, as a service manager would try."""
    while True:
        try:
            socket.create_connection((address, port), 2).close()
            return
        except OSError:
            time.sleep(0.2)


def main():
    """Imports first, as that takes longest, then waits, then serves."""
    split = sys.argv.index("--")
    address, ports = sys.argv[1], sys.argv[2:split]
    sys.argv = ["nova-compute", *sys.argv[split + 1:]]
    # The patching of the standard library comes with this import and must be the first.
    from nova.cmd import compute
    from nova.servicegroup import api as servicegroup
    import nova.virt

    nova.virt.__path__.append(DRIVERS)
    # As short as the interval between reports is in the lab; the default of 5 s belongs to one of 10 s.
    servicegroup.INITIAL_REPORTING_DELAY = 1
    for port in ports:
        wait_for(address, int(port))
    # A first question to a conductor that does not listen yet is waited for ten seconds.
    while not os.path.exists(os.environ.get("NOVALAB_CONDUCTOR_FILE", "/")):
        time.sleep(0.1)
    compute.main()


if __name__ == "__main__":
    main()
