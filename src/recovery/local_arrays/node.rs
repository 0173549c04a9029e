//! Which device node each member is: by who it is, and by what it says itself. Never by its name here.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::disks::block::{Device, Identity, Kind};
use crate::disks::places::{Part, Place};
use crate::disks::{Roots, md_superblock};

/// The nodes of an array's members, in the order of their places.
///
/// # Errors
/// One is not here, is no member, or two paths lead to it.
pub(super) fn nodes(roots: &Roots, uuid: &str, members: &BTreeSet<Place>) -> Result<Vec<PathBuf>, String> {
    if members.is_empty() {
        return Err(format!("no member of {uuid} is named"));
    }
    let devices = roots.devices().map_err(|error| format!("block devices: {error}"))?;
    let is_member = |device: &Device| match md_superblock::read(&roots.node(&device.name)) {
        Ok(found) => Ok(found.is_some_and(|found| found.array == uuid)),
        Err(error) => Err(format!("{}: {error}", device.name)),
    };
    let node = |place| one(place, &devices, is_member).map(|device| roots.node(&device.name));
    members.iter().map(node).collect()
}

/// The device at a place: the multipath map where there is one, never one of its paths (the map holds them, and
/// what is written past it may be lost).
fn one<'a>(
    place: &Place,
    devices: &'a [Device],
    is_member: impl Fn(&Device) -> Result<bool, String>,
) -> Result<&'a Device, String> {
    let mut here: Vec<(&Device, Kind)> = Vec::new();
    for device in devices.iter().filter(|device| place.is(&device.identity)) {
        let Identity::Disk { kind, .. } = &device.identity else { continue };
        // Which part it is, nobody wrote down: the one that says it.
        if place.part != Part::Any || is_member(device)? {
            here.push((device, *kind));
        }
    }
    if here.is_empty() {
        return Err(format!("{place} is not here"));
    }
    if here.iter().any(|(_, kind)| *kind == Kind::Multipath) {
        here.retain(|(_, kind)| *kind == Kind::Multipath);
    }
    match here.as_slice() {
        [(device, _)] if is_member(device)? => Ok(device),
        [(device, _)] => Err(format!("{place} ({}) is no member of it", device.name)),
        several => {
            let names: Vec<&str> = several.iter().map(|(device, _)| device.name.as_str()).collect();
            Err(format!(
                "{place} is {}: several paths, and not one multipath map over them",
                names.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::DiskId;
    use crate::disks::recorded_machine::Machine;

    const SLOT_0: &str = "raid10-1.2-slot0";
    const SDA: &str = "naa.5000cca04dab0000";
    const MULTIPATH: &str = "naa.60014050000abd150000000000000000";

    fn machine(members: &[&str]) -> (Machine, String) {
        let machine = Machine::of(include_str!("../../../tests/data/disks/kinds.txt"));
        for device in ["sda", "sda2", "sdb", "dm-0", "dm-1", "nvme0n1", "nvme0n1p3"] {
            machine.device(device, 24 << 20);
        }
        members.iter().for_each(|member| machine.superblock(member, SLOT_0));
        let uuid = md_superblock::read(&machine.roots.node(members[0])).unwrap().unwrap().array;
        (machine, uuid)
    }

    fn found(machine: &Machine, uuid: &str, disk: &str, part: Part) -> Result<Vec<String>, String> {
        let place = Place { disk: DiskId::parse(disk).unwrap(), part };
        let nodes = nodes(&machine.roots, uuid, &BTreeSet::from([place]))?;
        Ok(nodes.iter().map(|node| node.file_name().unwrap().to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_member_is_the_device_that_is_it_and_says_so() {
        let (machine, uuid) = machine(&["sda2"]);
        let of = |part| found(&machine, &uuid, SDA, part);
        assert_eq!(of(Part::Number(2)).unwrap(), ["sda2"]);
        assert_eq!(of(Part::Any).unwrap(), ["sda2"]);
        assert!(of(Part::Whole).unwrap_err().contains("no member"));
        assert!(of(Part::Number(3)).unwrap_err().ends_with("is not here"));
        let other = found(&machine, "another", SDA, Part::Number(2));
        assert!(other.unwrap_err().contains("no member"));
        assert!(found(&machine, &uuid, "naa.5000cca04dab0009", Part::Any).unwrap_err().contains("not here"));
        assert!(nodes(&machine.roots, &uuid, &BTreeSet::new()).is_err());
        std::fs::remove_file(machine.roots.dev.join("sda2")).unwrap();
        let why = of(Part::Number(2)).unwrap_err();
        assert!(why.starts_with("sda2: "), "{why}");
    }

    #[test]
    fn the_map_is_taken_and_not_its_paths() {
        let (machine, uuid) = machine(&["dm-0", "sdb"]);
        for part in [Part::Whole, Part::Any] {
            assert_eq!(found(&machine, &uuid, MULTIPATH, part).unwrap(), ["dm-0"]);
        }
        let (machine, uuid) = self::machine(&["dm-1", "sdb"]);
        assert_eq!(found(&machine, &uuid, MULTIPATH, Part::Number(1)).unwrap(), ["dm-1"]);
    }

    #[test]
    fn the_hidden_paths_of_an_nvme_disk_are_no_second_way_to_it() {
        let (machine, uuid) = machine(&["nvme0n1p3"]);
        let of = || found(&machine, &uuid, "eui.0025385b71b00d21", Part::Number(3));
        // As the kernel lists them beside the disk; they have no node.
        let path = "/sys/block/nvme0c0n1/wwid = eui.0025385b71b00d21\n/sys/block/nvme0c0n1/nvme0c0n1p3/partition = 3\n";
        machine.set(path);
        assert!(of().unwrap_err().contains("several paths"), "{:?}", of());
        machine.set("/sys/block/nvme0c0n1/hidden = 1\n");
        assert_eq!(of().unwrap(), ["nvme0n1p3"]);
    }

    #[test]
    fn two_paths_without_a_map_are_a_question_for_a_person() {
        let (machine, uuid) = machine(&["sda", "sdb"]);
        machine.set(&format!("/sys/block/dm-0/dm/uuid = LVM-x\n/sys/block/sda/device/wwid = {MULTIPATH}\n"));
        let why = found(&machine, &uuid, MULTIPATH, Part::Whole).unwrap_err();
        assert!(why.contains("sda, sdb") && why.contains("multipath"), "{why}");
        machine.set(&format!("/sys/block/sda/device/wwid = {SDA}\n"));
        assert_eq!(found(&machine, &uuid, MULTIPATH, Part::Whole).unwrap(), ["sdb"], "one path is one");
    }
}
