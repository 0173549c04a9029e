"""Everything of the real cloud that is made once, before the first lab that wants it: the parts and the template.

Apart from a lab's own bring-up, so that a scenario's time limit is about the scenario.
"""

import os
import sys
import time

from novalab.openstack import install, places, template


def prepare() -> None:
    """Installs the parts and makes the template; milliseconds where both are there."""
    from novalab.cluster import Lab, Shape  # It imports this package.

    install.ensure()
    if template.exists():
        return
    started = time.monotonic()
    print("lab: making the database template of the real cloud", file=sys.stderr, flush=True)
    lab = Lab.create(Shape(hosts=0, ha_nodes=0, guests=0, product=False, cloud="openstack"), owner=os.getpid())
    try:
        lab.network.create()
        lab.network.add_node(places.NODE, lab.port(places.NODE), places.ADDRESS)
        lab.cloud.install({"computes": [], "guests": []})
        template.make(lab.cloud.plane)
    except BaseException:
        print(f"lab: no template; logs: {lab.keep_logs('template')}", file=sys.stderr, flush=True)
        raise
    finally:
        lab.down()
    print(f"lab: template made in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
