"""What a run of `integration/lab test` consists of: which parts, in which order, how many at a time, and how long that takes."""

import functools
import os
import shutil
from dataclasses import dataclass, field, replace

from novalab import check, durations, quick, scenario
from novalab.openstack import install, template
from novalab.uml import image

TIERS = ("quick", "lab", "cloud", "disks")
# Scenarios first, as what the quick tier compiles is compiled beside them; the disks last, which bear nothing beside them.
ORDER = ("lab", "quick", "cloud", "disks")
# What `integration/lab test` runs of the scenarios: one of each kind.
KINDS = {
    "IPMI": "01_recovers_by_ipmi",
    "Redfish": "02_recovers_by_redfish",
    "a fence agent": "03_recovers_by_fence_agent",
    "adoption": "20_holder_dies_in_mid_evacuation",
    "a killed recover": "15_recover_killed_at_each_step",
    "ACLs": "25_with_acls_on",
    "real Nova": "50_real_nova_keeps_each_state",
    "real disks": "61_takeover_while_a_guest_writes",
}
# What a lab of each tier needs. Namespace machines mostly wait. A whole OpenStack keeps two cores busy while it comes up.
# A User-mode Linux machine has a core to itself while it boots.
CORES = {"lab": 0.5, "cloud": 2.0, "disks": 1.0}
GIGABYTES = {"lab": 1.5, "cloud": 3.0, "disks": 6.0}
# Beyond that nobody has tried it.
MOST = {"lab": 8, "cloud": 2, "disks": 4}


@dataclass(frozen=True)
class Shard:
    """One of so many parts of a run, for people with more machines."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> "Shard":
        """`2/3`. Raises ValueError."""
        number, slash, of = text.partition("/")
        if not slash or not 1 <= int(number) <= int(of):
            raise ValueError(text)
        return cls(int(number), int(of))

    def is_first(self) -> bool:
        """Whether it has what cannot be divided."""
        return self.number == 1


@dataclass
class Plan:
    """What will be run."""

    tiers: tuple[str, ...]
    scenarios: dict[str, list[scenario.Scenario]]
    jobs: dict[str, int]
    checks: list[check.Check] = field(default_factory=list)
    shard: Shard = field(default_factory=Shard)
    # What is left out, and why: said before anything runs.
    left_out: list[str] = field(default_factory=list)

    def parts(self) -> int:
        """How many lines of progress there will be."""
        return sum(map(len, self.scenarios.values())) + len(self.checks) + len(self.quick_commands())

    def has(self, tier: str) -> bool:
        """Whether anything of a tier is run."""
        return bool(self.quick_commands() if tier == "quick" else self.scenarios.get(tier))

    def quick_commands(self) -> list[quick.Command]:
        """What the quick tier runs beside the checks."""
        return quick.commands(self.shard.number, self.shard.of) if "quick" in self.tiers else []

    def seconds(self, known: durations.Durations) -> float:
        """How long all of it takes on this machine with everything fetched and built."""
        total = sum(known.of(part.name) for part in self.checks)
        total += sum(known.of(part.name) / (self.shard.of if part.divided else 1) for part in self.quick_commands())
        return total + sum(known.all_of([s.name for s in found], self.jobs[tier]) for tier, found in self.scenarios.items())

    def first_time(self, known: durations.Durations) -> float:
        """How much longer it takes where that is not so yet."""
        cold = [] if quick.is_built() else ["cold: tests built"]
        if self.scenarios.get("cloud") and not real_nova_is_here():
            cold.append("cold: OpenStack installed")
        if self.scenarios.get("disks") and not real_disks_are_here():
            cold.append("cold: disk image made")
        return sum(map(known.of, cold))


def whole(tiers: tuple[str, ...], only: str | None = None, long: bool = False) -> Plan:
    """Tiers in full."""
    found = {tier: [s for s in scenario.discover(only) if s.tier == tier] for tier in ORDER if tier in tiers and tier != "quick"}
    again = {tier: [s for s in group for _ in range(s.long if long else 1)] for tier, group in found.items()}
    plan = Plan(tuple(tier for tier in ORDER if tier in tiers), again, {tier: jobs(tier) for tier in again})
    if "quick" in tiers:
        plan.checks = [part for part in check.checks() if not part.in_quick]
    return plan


def one_of_each_kind() -> Plan:
    """The checks, the quick tier, and one scenario of each kind; of those that need much from outside only what is there."""
    plan = whole(TIERS)
    plan.scenarios = {tier: [s for s in group if s.name in KINDS.values()] for tier, group in plan.scenarios.items()}
    for tier, is_here, what in (("cloud", real_nova_is_here, "real Nova: run `integration/lab test cloud` once, which fetches it"),
                                ("disks", real_disks_are_here, "real disks: run `integration/lab test disks` once, which makes their image")):
        if not is_here():
            plan.scenarios[tier] = []
            plan.left_out.append(what)
    return plan


def part_of(plan: Plan, shard: Shard, known: durations.Durations) -> Plan:
    """A shard's part: the scenarios dealt out by how long they take, the longest first, to whoever has least."""
    mine: dict[str, list[scenario.Scenario]] = {}
    for tier, group in plan.scenarios.items():
        loads = [0.0] * shard.of
        mine[tier] = []
        for found in sorted(group, key=lambda s: (-known.of(s.name), s.name)):
            least = loads.index(min(loads))
            loads[least] += known.of(found.name)
            if least == shard.number - 1:
                mine[tier].append(found)
    return replace(plan, scenarios=mine, shard=shard, checks=plan.checks if shard.is_first() else [])


def in_order(tier: str, group: list[scenario.Scenario], known: durations.Durations) -> list[scenario.Scenario]:
    """The longest first, so that none is left alone at the end; before them the one that proves the lab itself. Of the disks the
    order is that of their numbers: which of them run beside each other is what they were measured with."""
    if tier == "disks":
        return group
    return sorted(group, key=lambda s: (not s.name.startswith("00_"), -known.of(s.name)))


def jobs(tier: str) -> int:
    """How many scenarios of a tier this machine runs at a time, by its cores and its memory."""
    by_cores, by_memory = int(cores() / CORES[tier]), int(memory_gigabytes() / GIGABYTES[tier])
    return max(1, min(by_cores, by_memory, MOST[tier]))


@functools.cache
def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


@functools.cache
def memory_gigabytes() -> float:
    """What the machine has: a lab's state and its disks are in it too."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)


def real_nova_is_here() -> bool:
    """Whether OpenStack is installed and its template made."""
    return all(map(shutil.which, ("mariadbd", "rabbitmqctl"))) and install.is_there() and template.exists()


def real_disks_are_here() -> bool:
    """Whether the kernel is installed and the root image made."""
    return os.path.exists(image.KERNEL) and (image.folder() / "root.squashfs").exists()
