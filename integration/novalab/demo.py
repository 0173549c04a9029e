"""The demo: a healthy cluster, a host loses its power, and its guests run again elsewhere; every line is read, not told.

Exit 0 only if all of it is true: the incident closed, every guest of the dead host recovered and seen running
elsewhere by the cloud, no other guest touched, and nothing happened that never may (verdict.py).
"""

import json
import os
import sys
import textwrap
import time
from datetime import datetime

from novalab import paths, verdict, wait
from novalab.cluster import Lab
from novalab.shape import shape_of

VICTIM = "compute1"
# Detection (probe interval times threshold, about 8 s with serfHealth), fencing, and four guests: 40 s on a busy machine.
# Real Nova takes 5 to 20 s for the same four, on two cores that run all of it.
LIMITS = {"simulated": 60, "openstack": 150}
WIDTH = 80
CLOUD_WORDS = {"simulated": "a simulated cloud", "openstack": "a real OpenStack (only its hypervisor is a fake)"}


def say(text="", indent=0):
    """One line, at once; what is longer than a terminal is wide goes on below, `indent` columns in."""
    wrapped = textwrap.fill(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False,
                            break_on_hyphens=False, drop_whitespace=True) if len(text) > WIDTH else text
    print(wrapped, flush=True)


def main(json_file=None, cloud="simulated", machines=None):
    """Runs it; returns the exit code."""
    if json_file:
        writable(json_file)
    started = time.monotonic()
    lab = Lab.create(shape_of({"cloud": cloud, **({"machines": machines} if machines else {})}), owner=os.getpid())
    try:
        hosts = f"{len(lab.hosts)} hosts{' with md arrays' if lab.disks else ''}, {len(lab.ha_nodes)} HA nodes"
        say(f"Bringing up 3 Consul servers, {hosts}, their BMCs and {CLOUD_WORDS[cloud]} ...")
        stages = lab.up()
        say(f"up after {max(stages.values()):.1f} s")
        healthy(lab)
        result = disaster(lab)
    except Exception as error:  # Whatever it is, it is told, the lab is taken down, and the file for programs is written.
        print(f"\nFAILED: {type(error).__name__}: {error}", flush=True)
        print(f"logs: {os.path.relpath(lab.keep_logs('demo'), paths.REPO)}", flush=True)
        result = {"result": "failed", "incident": None, "phases": [], "guests": []}
    finally:
        lab.down()
    if json_file:
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    say(f"\n{result['result']} ({time.monotonic() - started:.0f} s)")
    return 0 if result["result"] == "recovered" else 1


def writable(json_file):
    """Says before the demo, and not after it, that its result could not be written; whoever reads it meanwhile reads no old one."""
    try:
        with open(json_file, "w", encoding="utf-8"):
            pass
    except OSError as error:
        raise ValueError(f"--json {json_file}: {error.strerror}; name a file in a folder that is there") from error


def healthy(lab):
    """Shows the cluster before anything happens."""
    say("\nConsul says:")
    for name in lab.machines:
        say(f"  {name:10} serfHealth {lab.consul.serf_health(name)}")
    for name in (m.name for m in lab.ha_nodes):
        probes = {i.partition(":")[2]: s for i, (s, _) in lab.consul.checks(name).items() if i.startswith("nova-ha-probe:")}
        fine = [machine for machine, status in probes.items() if status == "passing"]
        say(f"  {name:10} sees {len(fine)} of {len(probes)} machines healthy: {' '.join(sorted(fine))}")
    say("Nova says:")
    for host in (m.name for m in lab.hosts):
        names = sorted(n for n, g in lab.guests().items() if g["host"] == host)
        say(f"  {host:10} {len(names)} guests: {' '.join(names)}")
    if lab.disks:
        say("The kernels say:")
        for host in (m.name for m in lab.disks.hosts):
            say(f"  {host:10} {disks_sentence(lab, host)}", indent=13)


def disks_sentence(lab, host):
    """Where a host's array runs, and what its guests' disks are there."""
    held = lab.arrays.holders(host)
    if len(held) != 1:
        return f"its array runs on {', '.join(held) or 'no machine'}"
    wrong = lab.arrays.wrong(held[0], host)
    return f"its array runs on {held[0]}, {len(lab.arrays.guests(host))} guests' disks there: {'; '.join(wrong) or 'all intact'}"


def disaster(lab):
    """Cuts the victim's power and follows the incident to its end; returns the result for programs."""
    before = lab.guests()
    lost = sorted(n for n, g in before.items() if g["host"] == VICTIM)
    lab.may_be_shot(VICTIM)
    cut_at = time.time()
    lab.cut(VICTIM)
    say(f"\n*** {clock(cut_at)} the power of {VICTIM} is cut: link down, {len(lost)} guests gone ***\n")
    incident = follow(lab, cut_at)
    shown = lab.show(incident.id)
    say(f"\nThe timeline of incident {incident.id}, by `nova-ha incident show`:")
    phases = shown["phases"]
    for phase in phases:
        say(f"  {clock(stamp(phase['at']))}  {phase['phase']:14} +{phase['seconds']:.1f} s")
    after = lab.guests()
    guests = [{"name": name, "outcome": incident.outcomes().get(name, "unaccounted"), "from": VICTIM,
               "to": after[name]["host"]} for name in lost]
    say("\nThe guests:")
    for guest in guests:
        now = after[guest["name"]]
        say(f"  {guest['name']:8} {guest['outcome']:11} {guest['from']} -> {guest['to']} "
            f"(Nova: {now['vm_state']}, runs on {', '.join(now['running_on']) or 'nothing'})")
    if lab.disks:
        say(f"The kernels say: of {VICTIM}, {disks_sentence(lab, VICTIM)}", indent=2)
    wrong = judge(lab, incident, guests, before, after)
    for sentence in wrong:
        say(f"NOT TRUE: {sentence}")
    result = "recovered" if not wrong else "failed"
    phases = [{key: phase[key] for key in ("phase", "at", "seconds")} for phase in phases]
    return {"result": result, "incident": incident.id, "phases": phases, "guests": guests}


def follow(lab, cut_at):
    """Tells each new journal entry and each change of a guest as it is written."""
    limit = LIMITS[lab.cloud.kind]
    deadline = time.monotonic() + limit
    told, guests = 0, {}
    incident = lab.wait_incident(VICTIM, timeout=limit)
    say(f"  +{time.time() - cut_at:5.1f} s  marked: incident {incident.id} opened by {incident.record['opened_by']}")
    while True:
        for entry in incident.journal[told:]:
            say(f"  +{time.time() - cut_at:5.1f} s  {entry['by']}: {sentence(entry['what'])}", indent=17)
        told = len(incident.journal)
        for name, word in sorted(incident.outcomes().items()):
            if guests.get(name) != word:
                guests[name] = word
                say(f"  +{time.time() - cut_at:5.1f} s      {name}: {word}")
        if incident.state != "active":
            return incident
        if time.monotonic() > deadline:
            raise wait.Timeout(f"not over within {limit} s: {incident}")
        incident = lab.incident(incident.id, incident.index) or incident


def sentence(what):
    """A journal event in words."""
    words = [what["event"].replace("_", " "), what.get("step", "").replace("_", " "), what.get("outcome", "").replace("_", " "),
             what.get("reason", ""), what.get("summary", "")]
    facts = what.get("facts") or []
    return " ".join(w for w in words if w) + (f" ({'; '.join(facts)})" if facts else "")


def judge(lab, incident, guests, before, after):
    """What of the demo's promise is not true; empty is good."""
    wrong = verdict.violations(lab)
    if incident.state != "closed":
        wrong.append(f"the incident is {incident}")
    for guest in guests:
        now = after[guest["name"]]
        if guest["outcome"] != "recovered" or now["host"] == VICTIM or now["running_on"] != [now["host"]]:
            wrong.append(f"{guest['name']} is {guest['outcome']}, on {now['host']}, runs on {now['running_on']}")
    for name, guest in before.items():
        if guest["host"] != VICTIM and after[name]["host"] != guest["host"]:
            wrong.append(f"{name} was on {guest['host']}, which lives, and is on {after[name]['host']} now")
    if lab.disks:
        wrong += disks_judged(lab, incident)
    if lab.is_powered(VICTIM):
        wrong.append(f"the power of {VICTIM} is on")
    return wrong


def disks_judged(lab, incident):
    """What is not true of the victim's array: it runs on the HA node that took it, with every guest's disk as it was."""
    held = lab.arrays.holders(VICTIM)
    if held != [incident.holder]:
        return [f"the array of {VICTIM} runs on {', '.join(held) or 'no machine'}, not on {incident.holder} alone"]
    return lab.arrays.wrong(incident.holder, VICTIM)


def clock(at):
    """A local time of day, to the millisecond."""
    return f"{time.strftime('%H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03}"


def stamp(text):
    """The product's UTC stamps (`2026-01-02T03:04:05.678901234Z`) as seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


if __name__ == "__main__":
    sys.exit(main())
