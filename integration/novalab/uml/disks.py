"""The disks that a host shares with the HA nodes: files in RAM outside, SCSI disks with one name each inside.

A disk is named by its host and its bay (0..). Every machine with disks that is this host, or an HA node, sees it; what is
pulled, put back or replaced is so on each of them at once, or on those named, alive or off. Either each machine has a way of
its own to the file, or all reach one shelf (shelf.py), in which the bays stay as they are.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from novalab import paths
from novalab.uml import kernel, partitions, shelf
from novalab.uml.inside import disks as inner

PROGRAM = Path(inner.__file__)
# Of a digest: what is all zeros counts as never written, whether or not the file has it.
BLOCK = 64 * 1024


class SharedDisks:
    """All shared disks of a run. Its memory is `disks/layout.json` in the run's state."""

    def __init__(self, state, hosts, ha_nodes, shelf_machine=None):
        self.folder = Path(state) / "disks"
        self.hosts = [m for m in hosts if m.has_disks]
        self.ha_nodes = [m for m in ha_nodes if m.has_disks]
        self.shelf = shelf_machine

    # Making them

    def install(self, bays, megabytes, partitioned=False):
        """Makes the images and tells every machine which it sees. The machines are laid out and off."""
        self.folder.mkdir(parents=True)
        layout = {}
        for host in self.hosts:
            layout[host.name] = [self._blank(host.name, bay, 0, megabytes) for bay in range(bays)]
            if partitioned:
                for disk in layout[host.name]:
                    partitions.write(disk["image"])
        self._save(layout)
        exports = []
        for machine in (*self.hosts, *self.ha_nodes):
            # No two machines find them in the same order: what is sda here is something else there.
            owners = [host for host in self.hosts if machine in (host, *self.ha_nodes)]
            seen = [(host.name, bay) for host in sorted(owners, key=lambda m: (m.index * 7 + machine.index * 3) % 5) for bay in range(bays)]
            if self.shelf:
                exports.append(shelf.connect(self.shelf, machine, [layout[host][bay]["serial"] for host, bay in seen]))
            else:
                self._give(machine, seen, layout)
        if self.shelf:
            self._give(self.shelf, [(host.name, bay) for host in self.hosts for bay in range(bays)], layout)
            self.shelf.change_spec(lambda spec: spec.update(exports=exports))

    def _give(self, machine, seen, layout):
        disks = [{"host": host, "bay": bay, "ubd": kernel.letter(slot), "present": True, **layout[host][bay]}
                 for slot, (host, bay) in enumerate(seen)]
        machine.change_spec(lambda spec: spec.update(disks=disks))

    def _blank(self, host, bay, generation, megabytes):
        image = self.folder / f"{host}-{bay}.img"
        with open(image, "wb") as file:
            file.truncate(megabytes << 20)
        return {"image": str(image), "serial": serial(host, bay, generation), "generation": generation}

    def _layout(self):
        return json.loads((self.folder / "layout.json").read_text(encoding="utf-8"))

    def _save(self, layout):
        (self.folder / "layout.json").write_text(json.dumps(layout, indent=1), encoding="utf-8")

    # Looking

    def bays(self, host):
        """The numbers of a host's bays."""
        return range(len(self._layout()[host]))

    def image(self, host, bay):
        """The file outside that holds a disk's bytes."""
        return Path(self._layout()[host][bay]["image"])

    def wwn(self, host, bay):
        """A disk's world-wide name in the kernel's form, `naa.6001405...`: the same on every machine that sees it."""
        return inner.wwn(self._layout()[host][bay]["serial"])

    def by_id(self, host, bay, partition=None):
        """udev's path of a disk, or of a partition of it (1..), inside any machine that sees it."""
        part = f"-part{partition}" if partition else ""
        return f"/dev/disk/by-id/wwn-0x{self.wwn(host, bay).removeprefix('naa.')}{part}"

    def seen_by(self, host):
        """The machines that see a host's disks: itself and every HA node with disks."""
        return [m for m in (*self.hosts, *self.ha_nodes) if m.name == host or m in self.ha_nodes]

    def digests(self, host):
        """A digest of every byte of each of a host's disks, as they lie outside now: `{bay: digest}`."""
        return {bay: digest(self.image(host, bay)) for bay in self.bays(host)}

    # Changing them

    def pull(self, host, bay, machines=None):
        """A disk is taken away: gone from every machine that sees it, or from those named only (a broken path)."""
        for machine in self._these(host, machines):
            disk = self._of(machine, host, bay)
            if disk["present"] and machine.latch.lives():
                self._inside(machine, "detach", disk["serial"])
                # What it is made of goes too: mdadm would find the same bytes there.
                kernel.mconsole(machine.folder, machine.name, f"remove ubd{disk['ubd']}")
            self._change(machine, host, bay, present=False)

    def put_back(self, host, bay, machines=None):
        """The disk that was taken away is there again, with what it holds."""
        for machine in self._these(host, machines):
            disk = self._of(machine, host, bay)
            if not disk["present"] and machine.latch.lives():
                slot = machine.spec()["disks"].index(disk)
                kernel.mconsole(machine.folder, machine.name, f"config {kernel.block_device(disk, machine.state)}")
                self._inside(machine, "attach", machine.index, slot, disk["ubd"], disk["serial"])
                # The kernel has it; udev may not have heard of it yet, and then there is nothing to settle.
                machine.exec("udevadm", "wait", "--timeout=60", "--settle", self.by_id(host, bay), check=True, timeout=70)
            self._change(machine, host, bay, present=True)

    def replace(self, host, bay, content=None):
        """Another disk, with a name of its own, is put into the bay: blank, or with the bytes of the file `content`.

        Returns the file that keeps what the old one held.
        """
        self.pull(host, bay)
        layout = self._layout()
        disk = layout[host][bay]
        image = Path(disk["image"])
        kept = image.with_name(f"{host}-{bay}.generation-{disk['generation']}.img")
        image.rename(kept)
        if content is None:
            with open(image, "wb") as file:
                file.truncate(kept.stat().st_size)
        else:
            copy(content, image)
        generation = disk["generation"] + 1
        disk.update(generation=generation, serial=serial(host, bay, generation))
        self._save(layout)
        for machine in self.seen_by(host):
            self._change(machine, host, bay, serial=disk["serial"], generation=generation)
        self.put_back(host, bay)
        return kept

    def _these(self, host, machines):
        if self.shelf:
            raise AssertionError("the disks of a shelf stay in their bays: nothing can be pulled, put back or replaced")
        return [m for m in self.seen_by(host) if machines is None or m.name in machines]

    def _of(self, machine, host, bay):
        return next(d for d in machine.spec()["disks"] if (d["host"], d["bay"]) == (host, bay))

    def _change(self, machine, host, bay, **what):
        def change(spec):
            next(d for d in spec["disks"] if (d["host"], d["bay"]) == (host, bay)).update(what)
        machine.change_spec(change)

    def _inside(self, machine, *words):
        machine.exec(paths.PYTHON, "-I", "-S", PROGRAM, *words, check=True, timeout=30)


def serial(host, bay, generation):
    """A disk's serial number: 32 hex digits, the same in every run."""
    return hashlib.sha256(f"{host}/{bay}/{generation}".encode()).hexdigest()[:32]


def copy(source, target):
    """Copies an image, holes as holes."""
    with open(target, "wb") as file:
        file.truncate(os.stat(source).st_size)
        for offset, block in written(source):
            file.seek(offset)
            file.write(block)
    shutil.copymode(source, target)


def written(path):
    """The blocks of an image that are not all zeros: (offset, bytes)."""
    zeros = bytes(BLOCK)
    with open(path, "rb", buffering=0) as file:
        end = os.fstat(file.fileno()).st_size
        offset = 0
        while offset < end:
            try:
                start = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError:
                # Nothing but a hole up to the end.
                return
            offset = start - start % BLOCK
            hole = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            while offset < hole:
                block = os.pread(file.fileno(), BLOCK, offset)
                if block != zeros[:len(block)]:
                    yield offset, block
                offset += BLOCK


def digest(path):
    """A digest of what an image holds."""
    found = hashlib.sha256()
    for offset, block in written(path):
        found.update(offset.to_bytes(8, "big"))
        found.update(block)
    return found.hexdigest()
