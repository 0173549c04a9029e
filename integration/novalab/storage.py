"""How the product's HA nodes get at the guests' disks in a lab, and what a first boot under the boot guard is.

With `md` a takeover demands two things of a host: that it published its arrays, and that this boot's storage waited for
the boot guard. The lab makes a host's array by hand, before the product knows the host, so it has to be started once
more, in the order in which a host with the product's own units boots (docs/boot-guard.md).
"""

from typing import TYPE_CHECKING

from novalab.shape import Shape
from novalab.uml.guests import INSTANCES

if TYPE_CHECKING:
    from novalab.cluster import Lab


def words(shape: Shape) -> list[str]:
    """What `nova-ha ha-node add` is told."""
    if shape.storage == "md":
        # On a host and on an HA node Nova has its guests in the same place.
        return ["--storage", "md", "--nova-mountpoint", INSTANCES]
    if shape.storage == "shared":
        return ["--storage", "shared"]
    raise ValueError(f"{shape.storage} is no storage: shared or md")


def start_by_the_guard(lab: "Lab", host: str) -> None:
    """The host's array and its guests' filesystem, started again once the boot guard has said that they are its own."""
    lab.arrays.release(host)
    lab.product(host, "nova-ha-boot-guard", "--host", host, "--for", "storage", check=True)
    lab.arrays.assemble(host, host)
    lab.publish(host)
