"""What lies on the shared disks: an md RAID10 with XFS on each host, and on it a directory and a disk for each guest.

    INSTANCES/SERVER-ID/disk       random bytes, of which the lab keeps the sum, then what a writer appended

Where disks are partitioned, one guest's directory is a filesystem of its own, on a second array: a RAID1 of two of the disks,
one of each mirror of the first array.

Sums are of what the disks hold: the caches of the machine that is asked are dropped first.
"""

import json
import time
from pathlib import Path

from novalab import paths
from novalab.uml.inside import writer

INSTANCES = "/var/lib/nova/instances"
# The arrays' names: the first one's, and that of the array of one guest.
GUESTS, OWN = "guests", "own"
# Of the disks that the second one is on.
OWN_BAYS = (1, 2)
PROGRAM = Path(writer.__file__)
# Of a guest's disk as it is made; a writer appends after it.
DISK_BYTES = 1 << 20
MAKE_SECONDS = 120

# The array is new, so that there is nothing that a resync could lose.
MAKE = """\
set -e
name=$1; array=$2; instances=$3; bytes=$4; guests=$5; bitmap=$6; shift 6
mdadm --create "$array" --run --quiet --level=10 --raid-devices=$# --metadata=1.2 --name=guests --homehost="$name" \
  --assume-clean --bitmap="$bitmap" "$@" >&2
udevadm wait --timeout=60 "$array"
mkfs.xfs -q -f "$array" >&2
mkdir -p "$instances"
mount -t xfs "$array" "$instances"
for guest in $guests; do
  mkdir "$instances/$guest"
  head -c "$bytes" /dev/urandom > "$instances/$guest/disk"
done
chown -R nova:nova "$instances"
sync
mdadm --detail --export "$array" | sed -n 's/^MD_UUID=//p'
blkid -p -s UUID -o value "$array"
cd "$instances"
for guest in $guests; do sha256sum "$guest/disk"; done
"""
# The guest's directory moves there, and is what it was to whoever looks.
MAKE_OWN = """\
set -e
name=$1; array=$2; guest=$3; shift 3
mdadm --create "$array" --run --quiet --level=1 --raid-devices=$# --metadata=1.2 --name=own --homehost="$name" \
  --assume-clean --bitmap=none "$@" >&2
udevadm wait --timeout=60 "$array"
mkfs.xfs -q -f "$array" >&2
mkdir /run/own
mount -t xfs "$array" /run/own
cp -a "$guest/." /run/own
umount /run/own
rm "$guest"/*
mount -t xfs "$array" "$guest"
chown nova:nova "$guest"
sync
mdadm --detail --export "$array" | sed -n 's/^MD_UUID=//p'
blkid -p -s UUID -o value "$array"
"""
# A disk that a hypervisor made begins with what that wrote.
FILL = """\
set -e
instances=$1; bytes=$2; shift 2
cd "$instances"
for guest; do head -c $((bytes - $(stat -c %s "$guest/disk"))) /dev/urandom >> "$guest/disk"; done
sync
for guest; do sha256sum "$guest/disk"; done
"""
SUMS = 'cd "$1" && for guest in $3; do [ ! -e "$guest/disk" ] || head -c "$2" "$guest/disk" | sha256sum | sed "s|-|$guest/disk|"; done'
WWIDS = "cd /sys/block && cat md*/slaves/*/device/wwid md*/slaves/*/../device/wwid 2>/dev/null; true"


class GuestStorage:
    """The arrays of a run's hosts and what is on them. Its memory is in the `disks` folder of the run's state."""

    def __init__(self, disks, machines, bitmap=False, partitioned=False):
        self.disks = disks
        self.machines = machines
        # mdadm's word: such small arrays have none by its default.
        self.bitmap = "internal" if bitmap else "none"
        self.partitioned = partitioned

    def make(self, host, guests):
        """Makes a host's array and filesystem, mounted at INSTANCES, with a disk for each guest (server ids)."""
        bays, partition = list(self.disks.bays(host)), 1 if self.partitioned else None
        members = [self.disks.by_id(host, bay, partition) for bay in bays]
        done = self.machines[host].exec("sh", "-c", MAKE, "sh", host, f"/dev/md/{GUESTS}", INSTANCES, DISK_BYTES, " ".join(guests),
                                        self.bitmap, *members, check=True, timeout=MAKE_SECONDS)
        lines = done.out.split("\n")
        first = {"array": lines[0], "filesystem": lines[1], "at": INSTANCES, "bays": bays, "partition": partition}
        record = {"arrays": [first], "sums": _sums(lines[2:])}
        assert set(record["sums"]) == set(guests), done
        if self.partitioned:
            record["arrays"].append(self._make_own(host, sorted(guests)[-1]))
        self._file(host).write_text(json.dumps(record, indent=1), encoding="utf-8")

    def _make_own(self, host, guest):
        at, partition = f"{INSTANCES}/{guest}", 2
        members = [self.disks.by_id(host, bay, partition) for bay in OWN_BAYS]
        done = self.machines[host].exec("sh", "-c", MAKE_OWN, "sh", host, f"/dev/md/{OWN}", at, *members, check=True, timeout=MAKE_SECONDS)
        array, filesystem = done.out.split()
        return {"array": array, "filesystem": filesystem, "at": at, "bays": list(OWN_BAYS), "partition": partition}

    def fill(self, host, guests):
        """Fills the disks that a hypervisor made for guests (server ids) of a host, on its array, and keeps their sums."""
        if not guests:
            return
        done = self.machines[host].exec("sh", "-c", FILL, "sh", INSTANCES, DISK_BYTES, *guests, check=True, timeout=MAKE_SECONDS)
        sums = _sums(done.out.split("\n"))
        assert set(sums) == set(guests), done
        record = self._record(host)
        record["sums"].update(sums)
        self._file(host).write_text(json.dumps(record, indent=1), encoding="utf-8")

    def all(self, host):
        """What a host has, in the order in which it is mounted: `{array, filesystem, at, bays, partition}` each, UUIDs as their
        tools write them."""
        return self._record(host)["arrays"]

    def array(self, host):
        """The UUID of the array that holds a host's guests, as mdadm writes it."""
        return self.all(host)[0]["array"]

    def filesystem(self, host):
        """The UUID of the filesystem on it."""
        return self.all(host)[0]["filesystem"]

    def guests(self, host):
        """The server ids whose disks lie on a host's array."""
        return sorted(self._record(host)["sums"])

    def assemble(self, machine, host, at=INSTANCES):
        """Takes a host's arrays by hand on a machine, by their UUIDs, and mounts them: what nobody may do while the host lives."""
        inside = self.machines[machine]
        for number, array in enumerate(self.all(host), start=1):
            device, place = f"/dev/md/of-{host}-{number}", array["at"].replace(INSTANCES, at, 1)
            inside.exec("mdadm", "--assemble", f"--uuid={array['array']}", device, check=True)
            # mdadm waits for udev's link for some seconds, and ends well without it.
            inside.exec("udevadm", "wait", "--timeout=60", device, check=True, timeout=70)
            inside.exec("mkdir", "-p", place, check=True)
            inside.exec("mount", "-t", "xfs", device, place, check=True)

    def release(self, machine, at=INSTANCES):
        """Unmounts what is mounted there and beneath, and stops the arrays under it."""
        inside = self.machines[machine]
        mounts = inside.exec("findmnt", "-R", "-n", "-l", "-o", "SOURCE,TARGET", at, check=True).out.splitlines()
        for device, place in (line.split() for line in reversed(mounts)):
            inside.exec("umount", place, check=True)
            inside.exec("mdadm", "--stop", device, check=True)

    def holders(self, host):
        """The living machines on which an array with members of a host's is running, by what their kernels say.

        A partition has its disk above it there.
        """
        members = {self.disks.wwn(host, bay) for bay in self.disks.bays(host)}
        found = []
        for machine in self.disks.seen_by(host):
            if machine.latch.lives():
                names = machine.exec("sh", "-c", WWIDS).out.split()
                found += [machine.name] if members & set(names) else []
        return found

    def wrong(self, machine, host, at=INSTANCES):
        """What of a host's guests' disks is not as it was made, read from disk on a machine: sentences; empty is good."""
        record = self._record(host)
        inside = self.machines[machine]
        inside.exec("sh", "-c", "sync; echo 3 > /proc/sys/vm/drop_caches", check=True)
        done = inside.exec("sh", "-c", SUMS, "sh", at, DISK_BYTES, " ".join(record["sums"]), timeout=60)
        found = _sums(done.out.split("\n"))
        return [f"the disk of {guest} is {'not there' if guest not in found else 'another one'} on {machine}"
                for guest, made in record["sums"].items() if found.get(guest) != made]

    # Writing

    def write(self, host, guest, machine=None):
        """Starts a writer that appends numbered records to a guest's disk, each acknowledged only when it is on the disk."""
        return Writer(self.machines[machine or host], f"{INSTANCES}/{guest}/disk", guest)

    def last_record(self, machine, guest, at=INSTANCES):
        """The number of the last record on a guest's disk up to which none is missing or spoilt, read on a machine."""
        done = self.machines[machine].exec(paths.PYTHON, "-I", "-S", PROGRAM, "check", f"{at}/{guest}/disk", DISK_BYTES, check=True)
        return int(done.out)

    def _file(self, host):
        return self.disks.folder / f"guests-{host}.json"

    def _record(self, host):
        return json.loads(self._file(host).read_text(encoding="utf-8"))


class Writer:
    """A program in a guest's place that writes until it is stopped or its machine dies. Acknowledgements are kept outside."""

    def __init__(self, machine, path, guest):
        self.guest = guest
        log = f"acknowledged-{guest}-{time.monotonic_ns()}.txt"
        self.file = machine.folder / "log" / log
        self.child = machine.spawn(paths.PYTHON, "-I", "-S", PROGRAM, "write", path, DISK_BYTES, log=log)

    def acknowledged(self):
        """The number of the last record that was acknowledged; 0: none yet."""
        lines = self.file.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]
        numbers = [int(line) for line in lines if line.isdigit()]
        return numbers[-1] if numbers else 0

    def runs(self):
        """Whether it still writes."""
        return self.child.poll() is None

    def stop(self):
        """Ends it; returns the number of the last acknowledged record."""
        self.child.kill()
        self.child.wait()
        return self.acknowledged()


def _sums(lines):
    """`{guest: sum}` of sha256sum's lines."""
    pairs = [line.split() for line in lines if line.strip()]
    return {name.partition("/")[0]: found for found, name in pairs}
