"""A service of Nova that is told by messages: the real one, started when it can work. Runs by the venv's Python.

    nova_service.py nova-compute|nova-conductor|nova-scheduler ADDRESS PORT... -- ARGUMENTS

Waits at first until the control plane listens on those ports: in the lab nothing starts again what has died, and a
machine boots faster than a database. One that finds no message bus would try again after 1, 3, 5, 7, 9 and 11 s, and be
that much later than the others.

Then it reports as soon as it listens. Its row in the database is older than that; the report is what the lab waits for.
"""

import importlib
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


def wait_for_conductor():
    """A first question to a conductor that does not listen yet is waited for ten seconds."""
    while not os.path.exists(os.environ.get("NOVALAB_CONDUCTOR_FILE", "/")):
        time.sleep(0.1)


def main():
    """Imports first, as that takes longest, then waits, then serves."""
    split = sys.argv.index("--")
    name, address, ports = sys.argv[1], sys.argv[2], sys.argv[3:split]
    sys.argv = [name, *sys.argv[split + 1:]]
    # The patching of the standard library comes with this import and must be the first.
    program = importlib.import_module(f"nova.cmd.{name.removeprefix('nova-')}")
    import nova.virt
    from nova.servicegroup import api as servicegroup

    # The lab's hypervisor is among the drivers.
    nova.virt.__path__.append(DRIVERS)
    # As short as the interval between reports is in the lab; the default of 5 s belongs to one of 10 s.
    servicegroup.INITIAL_REPORTING_DELAY = 1
    for port in ports:
        wait_for(address, int(port))
    wait_for_conductor()
    program.main()


if __name__ == "__main__":
    main()
