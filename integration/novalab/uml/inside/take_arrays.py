#!/usr/bin/python3
"""A site's program for storage `exec`: the arrays that a host published, taken over on an HA node that sees their disks.

Marks them on the disks as the product's own strategy does (src/disks/owner_mark.rs), and gives them their name back.
"""

import json
import re
import subprocess
import sys


def run(*argv):
    """Runs a program; its words where it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def running(uuid):
    """The device of the array where the kernel runs it."""
    found = [line.split() for line in run("mdadm", "--detail", "--scan").splitlines()]
    return next((words[1] for words in found if f"UUID={uuid}" in words), None)


def is_visible(uuid):
    """Whether this machine sees disks of the array."""
    return f"UUID={uuid}" in run("mdadm", "--examine", "--scan", "--config=/etc/mdadm/mdadm.conf")


def assemble(uuid, name):
    """Assembles it by its UUID, with this name on its disks; returns its device."""
    home, _, own = name.partition(":")
    device = f"/dev/md/taken-{uuid[:8]}"
    run("mdadm", "--assemble", f"--uuid={uuid}", "--update=name", f"--homehost={home}", f"--name={own}", device)
    return device


def look(arrays, mountpoint):
    """(state, detail), and nothing changed."""
    devices = {uuid: running(uuid) for uuid in arrays}
    if all(devices.values()):
        if re.search(rf"^\S+ {re.escape(mountpoint)} ", open("/proc/mounts", encoding="utf-8").read(), re.MULTILINE):
            return "taken", " ".join(devices.values())
        return "ready", "assembled, and not mounted"
    unseen = [uuid for uuid in arrays if not devices[uuid] and not is_visible(uuid)]
    if unseen or not arrays:
        return "refused", f"no disk of {' '.join(unseen) or 'any array'} is here"
    return "ready", "its disks are here"


def main():
    order = json.load(sys.stdin)
    arrays = (order["runtime_info"] or {}).get("md_arrays") or {}
    mountpoint = order["mountpoint"]
    state, detail = look(arrays, mountpoint)
    if order["verb"] == "take" and state == "ready":
        for uuid, array in arrays.items():
            device = running(uuid) or assemble(uuid, f"nova-ha.{order['ha_node']}:{array['name'].partition(':')[2]}")
            run("mount", "-t", "xfs", device, mountpoint)
        state, detail = look(arrays, mountpoint)
    elif order["verb"] == "release" and state == "taken":
        run("umount", mountpoint)
        for uuid, array in arrays.items():
            run("mdadm", "--stop", running(uuid))
            run("mdadm", "--stop", assemble(uuid, array["name"]))
        state, detail = look(arrays, mountpoint)
    mounted = [{"what": detail, "where": mountpoint}] if state == "taken" else []
    print(json.dumps({"version": 1, "state": state, "detail": detail, "mounted": mounted}))


if __name__ == "__main__":
    main()
