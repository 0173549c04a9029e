"""The shared disks of a machine: block devices of the outside (`/dev/ubdX`) turned into SCSI disks with a name.

    disks.py attach INDEX SLOT UBD SERIAL | detach SERIAL        for a living machine; a boot attaches all of its spec

LIO's loop-back target makes them: each has the world-wide name that its serial gives, the same on every machine that
sees it, so that /sys, udev and mdadm find what they find on a host with SAS disks. Its reservations live in this kernel
alone: what one machine reserves, another does not see. For reservations that are everybody's there is a shelf, see shelf.py.
"""

import glob
import os
import sys
import time

TARGET = "/sys/kernel/config/target"
CORE = f"{TARGET}/core/iblock_0"
LOOPBACK = f"{TARGET}/loopback"
SETTLE_SECONDS = 10


def attach_all(disks, index):
    """Attaches the disks of a spec that are not pulled."""
    mount_configfs()
    keep_registrations()
    for slot, disk in enumerate(disks):
        if disk["present"]:
            attach(index, slot, disk["ubd"], disk["serial"])


def keep_registrations():
    """Where LIO writes down who is registered. Without the folder it does what it is told, and says that it failed; nobody gives
    what is in there back to it at its next boot."""
    os.makedirs("/var/target/pr", exist_ok=True)


def mount_configfs():
    """Where LIO is told what it is; fine where it is mounted already."""
    if not os.path.isdir(TARGET):
        from novalab import boot

        boot.mount("configfs", "/sys/kernel/config", "configfs")


def target(index):
    """The portal group of this machine's own loop-back adapter, made where it is not there."""
    group = f"{LOOPBACK}/naa.500140500000{index:04x}/tpgt_1"
    if not os.path.isdir(group):
        make(LOOPBACK, os.path.dirname(group), group)
        write(f"naa.500140510000{index:04x}", f"{group}/nexus")
    return group


def attach(index, slot, ubd, serial):
    """One disk appears."""
    group = target(index)
    backstore(ubd, serial)
    unit(group, slot, serial)
    wait_for(serial, True)


def backstore(ubd, serial):
    """What a SCSI disk with this serial is made of."""
    store = f"{CORE}/{serial}"
    os.makedirs(store)
    write(f"udev_path=/dev/ubd{ubd}", f"{store}/control")
    write("1", f"{store}/enable")
    # It has the same bytes: to whoever reads all devices it would be a clone.
    os.unlink(f"/dev/ubd{ubd}")
    write(serial, f"{store}/wwn/vpd_unit_serial")


def unit(group, number, serial):
    """A logical unit of a portal group, made of that; returns its folder."""
    lun = f"{group}/lun/lun_{number}"
    os.makedirs(lun)
    os.symlink(f"{CORE}/{serial}", f"{lun}/port")
    return lun


def detach(serial):
    """One disk is pulled out: its SCSI device is gone, whoever used it."""
    for lun in glob.glob(f"{LOOPBACK}/naa.*/tpgt_1/lun/lun_*"):
        port = f"{lun}/port"
        if os.path.islink(port) and os.path.basename(os.readlink(port)) == serial:
            os.unlink(port)
            os.rmdir(lun)
    if os.path.isdir(f"{CORE}/{serial}"):
        os.rmdir(f"{CORE}/{serial}")
    wait_for(serial, False)


def wait_for(serial, there):
    """Until the kernel shows the disk, or does not."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while (wwn(serial) in names()) != there:
        if time.monotonic() > deadline:
            raise RuntimeError(f"the disk {wwn(serial)} is {'not there' if there else 'still there'} after {SETTLE_SECONDS} s")
        time.sleep(0.01)


def names():
    """The world-wide names of the disks that the kernel shows, with their devices."""
    found = {}
    for device in os.listdir("/sys/block"):
        try:
            with open(f"/sys/block/{device}/device/wwid", encoding="utf-8") as file:
                found[file.read().strip()] = device
        except OSError:
            continue
    return found


def wwn(serial):
    """The name that LIO makes of a serial: NAA 6, the company id of LIO, 25 digits of the serial."""
    return f"naa.6001405{serial[:25]}"


def make(*folders):
    """Folders of configfs, one level at a time: it fills a folder when it is made."""
    for folder in folders:
        os.makedirs(folder, exist_ok=True)


def write(text, path):
    """Writes a file of configfs."""
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n")


def main(argv):
    """The program."""
    if argv[0] == "attach":
        attach(int(argv[1]), int(argv[2]), argv[3], argv[4])
    elif argv[0] == "detach":
        detach(argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
