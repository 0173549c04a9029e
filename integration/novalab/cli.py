"""The commands of `integration/lab`, after the bootstrap."""

import argparse
import os
import subprocess
import sys

from novalab import (
    ahead,
    bench,
    bench_md,
    check,
    contract_suite,
    demo,
    durations,
    paths,
    plan,
    quick,
    report,
    runner,
    scenario,
    wait,
)
from novalab.cluster import Lab, stale_runs
from novalab.openstack import prepare
from novalab.plan import TIERS
from novalab.shape import shape_of
from novalab.uml import image

PENDING = ("faults", "operators")
CLOUDS = ("simulated", "openstack")
UML = "uml"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="integration/lab", description="Real Consul, sshd and BMCs on one machine.")
    commands = top.add_subparsers(dest="command", required=True)
    show = commands.add_parser("demo", help="a host dies and its guests run elsewhere: watch it happen")
    cloud_option(show)
    show.add_argument("--hosts", choices=[UML], help="uml: hosts with kernels and disks of their own")
    show.add_argument("--json", metavar="FILE", help="write the result for programs")
    checked = commands.add_parser("check", help="formatting, linters and documentation; no root, no servers")
    checked.add_argument("--fast", action="store_true", help="what compiles nothing: for a commit to wait for")
    test = commands.add_parser("test", help="the checks, the quick tier and a scenario of each kind; or the tiers that are named")
    test.add_argument("tiers", nargs="*", metavar="TIER", help=f"{', '.join(TIERS)}")
    test.add_argument("--all", action="store_true", help="every tier, as CI does")
    test.add_argument("--shard", type=plan.Shard.read, metavar="K/N", default=plan.Shard(), help="the K-th of N parts, for N machines")
    test.add_argument("--cloud", choices=CLOUDS[1:], help="openstack: the tier of the real cloud alone")
    test.add_argument("--hosts", choices=[UML], help="uml: the tier of the hosts with disks alone")
    test.add_argument("--long", action="store_true", help="scenarios that say so many times in a row")
    test.add_argument("--only", metavar="NAME", help="scenarios whose name contains this")
    test.add_argument("--jobs", type=int, help="scenarios at a time (default: by the cores and the memory; on two cores lab four, cloud one, disks two)")
    measured = commands.add_parser("bench", help="the product's own share of an evacuation's time, beside real Nova, or of a takeover's")
    measured.add_argument("--guests", type=positive, help="how many the host has (default: 20, of uml 100)")
    measured.add_argument("--hosts", choices=[UML], help="uml: of the takeover of a host's md arrays")
    measured.add_argument("--runs", type=positive, help="of uml: how many takeovers, each in a lab of its own (default: 3)")
    up = commands.add_parser("up", help="bring a lab up and leave it running")
    cloud_option(up)
    up.add_argument("--bare", action="store_true", help="without the product: Consul, machines, BMCs, cloud")
    up.add_argument("--acl", action="store_true", help="with ACLs, default deny")
    up.add_argument("--hosts", type=hosts_word, default={}, metavar="N | uml | uml:N",
                    help="how many; uml: with kernels and disks of their own")
    up.add_argument("--ha-nodes", type=int)
    up.add_argument("--guests", type=int)
    down = commands.add_parser("down", help="take down the lab that `up` left, and runs that were killed")
    down.add_argument("--all", action="store_true", help="every run on this machine, running tests too")
    shell = commands.add_parser("shell", help="a shell, or a command, inside a machine")
    shell.add_argument("machine")
    shell.add_argument("words", nargs=argparse.REMAINDER)
    logs = commands.add_parser("logs", help="the logs of a machine, or of everything")
    logs.add_argument("machine", nargs="?")
    once = commands.add_parser("run", help="run one scenario")
    once.add_argument("name")
    before = commands.add_parser("_prepare")
    before.add_argument("tiers", nargs="*")
    play = commands.add_parser("_play")
    play.add_argument("name")
    play.add_argument("run")
    return top


def positive(text: str) -> int:
    """A number of at least 1. Raises ValueError."""
    if int(text) < 1:
        raise ValueError(text)
    return int(text)


def cloud_option(command: argparse.ArgumentParser) -> None:
    """--cloud"""
    command.add_argument("--cloud", choices=CLOUDS, default=CLOUDS[0], help="which Nova: the lab's own, or the real one")


def hosts_word(text: str) -> dict[str, object]:
    """What `up --hosts` says of the shape: `3`, `uml` or `uml:3`. Raises ValueError."""
    kind, colon, number = text.partition(":") if text.startswith(UML) else ("", ":", text)
    if kind not in ("", UML):
        raise ValueError(text)
    count = {"hosts": int(number)} if colon else {}
    return {**({"machines": UML} if kind else {}), **count}


def main(argv: list[str]) -> int:
    """Runs a command; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        return COMMANDS[args.command](args)
    except (wait.Timeout, RuntimeError, LookupError, AssertionError, ValueError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # `logs | head`: who reads has enough. Nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def test(args: argparse.Namespace) -> int:
    """Runs what is asked for; the last line says how many tests passed and failed."""
    known = durations.Durations()
    chosen = plan.part_of(planned(args), args.shard, known)
    if args.jobs:
        chosen.jobs = dict.fromkeys(chosen.jobs, args.jobs)
    ran = report.Report(chosen.parts(), chosen.seconds(known) + chosen.first_time(known))
    announce(chosen, known)
    clear_stale()
    check.run([part for part in chosen.checks if part.fast], ran, known)
    later = ahead.Ahead([])
    try:
        for tier in plan.ORDER:
            found = chosen.scenarios.get(tier, [])
            later.wait()
            if tier == "quick":
                check.run([part for part in chosen.checks if not part.fast], ran, known)
                quick.run(chosen.quick_commands(), ran, known)
            elif found:
                prepare_for(found)
                if tier == "lab":
                    later = ahead.Ahead([of for of in plan.ORDER if of != "lab" and chosen.has(of)])
                runner.run_all(plan.in_order(tier, found, known), ran, known, chosen.jobs[tier])
    finally:
        later.stop()
    return ran.summary()


def planned(args: argparse.Namespace) -> plan.Plan:
    """What the words of `test` ask for. Raises ValueError and LookupError."""
    for tier in args.tiers:
        if tier not in TIERS:
            what = "has no tests yet" if tier in PENDING else f"is no tier: there are {', '.join(TIERS + PENDING)}"
            raise ValueError(f"{tier} {what}")
    named = (["cloud"] if args.cloud == "openstack" else []) + (["disks"] if args.hosts == UML else [])
    tiers = tuple(args.tiers or named)
    if args.all and tiers:
        raise ValueError("--all is every tier: name none beside it")
    if not (args.all or tiers or args.only):
        return plan.one_of_each_kind()
    if args.only and not tiers:
        tiers = tuple(tier for tier in TIERS if tier != "quick")
    chosen = plan.whole(tiers or TIERS, args.only, args.long)
    if args.only and not any(chosen.scenarios.values()):
        raise LookupError(f"no scenario of tier {', '.join(tiers)} has {args.only} in its name")
    return chosen


def announce(chosen: plan.Plan, known: durations.Durations) -> None:
    """What will be run, and how long it takes, before anything does."""
    scenarios = ", ".join(f"{len(found)} of tier {tier} ({chosen.jobs[tier]} at a time)" for tier, found in chosen.scenarios.items() if found)
    parts = [f"{len(chosen.checks)} checks" if chosen.checks else "", "the quick tier" if chosen.quick_commands() else "",
             f"scenarios: {scenarios}" if scenarios else ""]
    shard = f"Part {chosen.shard.number} of {chosen.shard.of}: " if chosen.shard.of > 1 else ""
    print(f"{shard}{'; '.join(filter(None, parts)) or 'nothing'}", flush=True)
    for what in chosen.left_out:
        print(f"Left out, as it is not here: {what}", flush=True)
    first = chosen.first_time(known)
    print(f"It takes about {report.minutes(chosen.seconds(known) + first)}"
          + (f", of which {report.minutes(first)} because parts are fetched or built for the first time" if first else "")
          + ": by what this machine measured, or two cores with nothing else to do", flush=True)


def checks(args: argparse.Namespace) -> int:
    """The checks alone."""
    known = durations.Durations()
    chosen = [part for part in check.checks() if part.fast or not args.fast]
    ran = report.Report(len(chosen), sum(known.of(part.name) for part in chosen))
    check.run(chosen, ran, known)
    return ran.summary()


def run(args: argparse.Namespace) -> int:
    """Runs one scenario by its name or a part of it that only it has."""
    clear_stale()
    found = scenario.discover(args.name)
    exact = [s for s in found if s.name == args.name]
    found = exact or found
    if len(found) != 1:
        names = ", ".join(s.name for s in (found or scenario.discover()))
        raise LookupError(f"{args.name} names {len(found)} scenarios: {names}")
    prepare_for(found)
    ran = report.Report()
    runner.run_all(found, ran, durations.Durations())
    return ran.summary()


def prepare_for(scenarios: list[scenario.Scenario]) -> None:
    """What some scenario needs and no time limit should have to pay for."""
    if any(found.real_cloud for found in scenarios):
        prepare.prepare()
    if any(found.tier == "disks" for found in scenarios):
        image.prepare()
    for name in sorted({name for found in scenarios for name in found.tests}):
        contract_suite.executable(name)


def prepare_tiers(args: argparse.Namespace) -> int:
    """The child's side of ahead.py."""
    prepare_for([found for found in scenario.discover() if found.tier in args.tiers])
    if "quick" in args.tiers:
        ahead.idle()
        quick.build()
        # Whatever these find is said when their turn comes.
        for part in check.checks():
            if not part.fast:
                check.output_of(part)
    return 0


def up(args: argparse.Namespace) -> int:
    """Brings a lab up that outlives this process."""
    if standing():
        raise RuntimeError(f"a lab is up already (run {standing()}): `integration/lab down` first")
    clear_stale()
    if args.cloud == "openstack":
        prepare.prepare()
    if args.hosts.get("machines") == UML:
        image.prepare()
    counts = {name: value for name, value in (("ha_nodes", args.ha_nodes), ("guests", args.guests)) if value is not None}
    lab = Lab.create(shape_of({"acl": args.acl, "product": not args.bare, "cloud": args.cloud, **args.hosts, **counts}))
    try:
        stages = lab.up()
    except BaseException:
        print(f"lab: it does not come up; logs: {lab.keep_logs('up')}", file=sys.stderr)
        lab.down()
        raise
    print(f"run {lab.run_name} is up after {max(stages.values()):.1f} s: machines {', '.join(lab.machines)}; "
          f"Consul leads at {lab.consul.leader()}")
    return 0


def down(args: argparse.Namespace) -> int:
    """Takes labs down."""
    runs = paths.runs() if args.all else stale_runs() + [r for r in [standing()] if r]
    for name in runs:
        Lab.attach(name).down()
        print(f"run {name} is down")
    return 0


def shell(args: argparse.Namespace) -> int:
    """Runs a command inside a machine, or a shell."""
    machine = attached().machine(args.machine)
    argv = machine.enter(args.words or ["bash", "--norc"])
    return subprocess.run(argv, env={**machine.spec()["env"], "TERM": os.environ.get("TERM", "dumb")}, check=False).returncode


def logs(args: argparse.Namespace) -> int:
    """Prints the logs of one machine, or the names and ends of all."""
    lab = attached()
    machines = [lab.machine(args.machine)] if args.machine else lab.with_shelf()
    folders = [] if args.machine else [lab.state / "log"]
    for machine in machines:
        folders += machine.log_folders().values()
    for folder in folders:
        for file in sorted(folder.glob("*.log")):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
            print(f"==> {file.relative_to(lab.state)} ({len(lines)} lines)")
            print("\n".join(lines if args.machine else lines[-3:]))
    return 0


def standing() -> str | None:
    """The run that `up` left, else None."""
    for name in paths.runs():
        if (paths.state_dir(name) / "lab.json").exists() and '"owner": null' in \
                (paths.state_dir(name) / "lab.json").read_text(encoding="utf-8"):
            return name
    return None


def attached() -> Lab:
    """The lab that `shell` and `logs` mean: the standing one, else the newest run (a test that is under way)."""
    name = standing() or next(iter(reversed(paths.runs())), None)
    if name is None:
        raise LookupError("no lab is up: `integration/lab up` first")
    return Lab.attach(name)


def clear_stale() -> None:
    """Takes away what a killed test run left."""
    for name in stale_runs():
        print(f"lab: clearing run {name}, whose owner is gone", file=sys.stderr)
        Lab.attach(name).down()


def demonstrate(args: argparse.Namespace) -> int:
    """The demo."""
    if args.cloud == "openstack":
        prepare.prepare()
    if args.hosts == UML:
        image.prepare()
    return demo.main(args.json, args.cloud, args.hosts)


def measure(args: argparse.Namespace) -> int:
    """The benchmark on real Nova, or on md arrays; `integration/bench.py` is the one of the simulated cloud."""
    if args.hosts == UML:
        image.prepare()
        return bench_md.main(args.guests or 100, args.runs or 3)
    if args.runs:
        raise ValueError("--runs is of --hosts uml")
    prepare.prepare()
    return bench.main(args.guests or 20)


COMMANDS = {
    "bench": measure,
    "check": checks,
    "demo": demonstrate,
    "test": test,
    "run": run,
    "up": up,
    "down": down,
    "shell": shell,
    "logs": logs,
    "_prepare": prepare_tiers,
    "_play": lambda args: runner.play(args.name, args.run),
}
