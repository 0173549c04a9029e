//! Which disks can be reserved: those that are nothing but members of what is taken, by one path each.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::disks::block::{Device, Identity, Kind};
use crate::disks::places::{Part, Place};
use crate::disks::{DiskId, Roots, md_superblock};
use crate::recovery::reservations::Members;

/// Disks by their names everywhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    /// With their nodes here, in the order of the members.
    pub(super) able: Vec<(DiskId, PathBuf)>,
    /// Which cannot be, and why.
    pub(super) unable: Vec<String>,
    /// All ways to those.
    pub(super) others: Vec<(DiskId, PathBuf)>,
}

/// Looks for them.
///
/// # Errors
/// sysfs cannot be listed.
pub(super) fn find(roots: &Roots, members: &Members) -> Result<Found, String> {
    let devices = roots.devices().map_err(|error| format!("block devices: {error}"))?;
    let mut places: Vec<(&DiskId, BTreeSet<&Place>)> = Vec::new();
    for (uuid, array) in members {
        let has = |place: &&Place| devices.iter().any(|d| place.is(&d.identity) && is_of(roots, d, uuid));
        for place in array.iter().filter(has) {
            match places.iter_mut().find(|(disk, _)| **disk == place.disk) {
                Some((_, known)) => {
                    known.insert(place);
                }
                None => places.push((&place.disk, BTreeSet::from([place]))),
            }
        }
    }
    let mut found = Found::default();
    for (disk, places) in places {
        match node(&devices, disk, &places) {
            Ok(device) => found.able.push((disk.clone(), roots.node(&device.name))),
            Err(why) => {
                found.unable.push(format!("{disk} ({why})"));
                let is_way = |device: &&Device| matches!(&device.identity, Identity::Disk { id, kind: Kind::Scsi, partition: None } if id == disk);
                let ways = devices.iter().filter(is_way).map(|way| (disk.clone(), roots.node(&way.name)));
                found.others.extend(ways);
            }
        }
    }
    Ok(found)
}

fn is_of(roots: &Roots, device: &Device, uuid: &str) -> bool {
    md_superblock::read(&roots.node(&device.name))
        .is_ok_and(|found| found.is_some_and(|found| found.array == uuid))
}

/// The one way to a disk of which nothing is anybody else's.
fn node<'a>(devices: &'a [Device], disk: &DiskId, places: &BTreeSet<&Place>) -> Result<&'a Device, String> {
    let mut wholes = Vec::new();
    for device in devices {
        let Identity::Disk { id, kind, partition } = &device.identity else { continue };
        if id != disk {
            continue;
        }
        match (kind, partition) {
            // A path that has not registered would have its writes refused, and which path is taken is not ours to say.
            (Kind::Multipath, _) => return Err("behind multipath".to_owned()),
            (Kind::Nvme, _) => return Err("NVMe".to_owned()),
            (Kind::Scsi, None) => wholes.push(device),
            (Kind::Scsi, Some(number)) => {
                let is_taken = places.iter().any(|place| place.part == Part::Number(*number));
                if !is_taken {
                    return Err(format!("its partition {number} is no member"));
                }
            }
        }
    }
    match wholes.as_slice() {
        [one] => Ok(one),
        [] => Err("there is no device of all of it".to_owned()),
        _ => Err("several paths".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_machine::Machine;

    const SLOT_0: &str = "raid10-1.2-slot0";
    const SDA: &str = "naa.5000cca04dab0000";
    const MULTIPATH: &str = "naa.60014050000abd150000000000000000";
    const NO_MULTIPATH: &str = "/sys/block/dm-0/dm/uuid = LVM-x\n/sys/block/dm-1/dm/uuid = LVM-y\n";

    fn machine(members: &[&str]) -> (Machine, String) {
        let machine = Machine::of(include_str!("../../../tests/data/disks/kinds.txt"));
        for device in ["sda", "sda2", "sdb", "dm-0", "dm-1", "nvme0n1", "nvme0n1p3"] {
            machine.device(device, 24 << 20);
        }
        members.iter().for_each(|member| machine.superblock(member, SLOT_0));
        let uuid = md_superblock::read(&machine.roots.node(members[0])).unwrap().unwrap().array;
        (machine, uuid)
    }

    fn found(machine: &Machine, uuid: &str, disk: &str, part: Part) -> (Vec<String>, Vec<String>) {
        let place = Place { disk: DiskId::parse(disk).unwrap(), part };
        let found = find(&machine.roots, &[(uuid.to_owned(), vec![place])]).unwrap();
        let name = |node: PathBuf| node.file_name().unwrap().to_string_lossy().into_owned();
        (found.able.into_iter().map(|(_, node)| name(node)).collect(), found.unable)
    }

    #[test]
    fn a_whole_scsi_disk_that_is_a_member_can_be() {
        let (machine, uuid) = machine(&["sdb"]);
        machine.set(NO_MULTIPATH);
        let none: Vec<String> = Vec::new();
        assert_eq!(found(&machine, &uuid, MULTIPATH, Part::Whole), (vec!["sdb".into()], none.clone()));
        assert_eq!(found(&machine, "another", MULTIPATH, Part::Whole), (none.clone(), none.clone()));
        assert_eq!(found(&machine, &uuid, "naa.5000cca04dab0009", Part::Whole), (none.clone(), none));
    }

    #[test]
    fn a_disk_of_which_a_part_is_somebody_elses_cannot_be() {
        let (machine, uuid) = machine(&["sda2"]);
        let none: Vec<String> = Vec::new();
        assert_eq!(found(&machine, &uuid, SDA, Part::Number(2)), (vec!["sda".into()], none.clone()));
        machine.set("/sys/block/sda/sda1/partition = 1\n");
        let (able, unable) = found(&machine, &uuid, SDA, Part::Number(2));
        assert_eq!((able, unable), (none, vec![format!("{SDA} (its partition 1 is no member)")]));
    }

    #[test]
    fn what_has_several_paths_or_none_of_scsi_cannot_be() {
        let (machine, uuid) = self::machine(&["dm-0", "sdb"]);
        let (able, unable) = found(&machine, &uuid, MULTIPATH, Part::Whole);
        assert!(able.is_empty() && unable[0].contains("behind multipath"), "{unable:?}");
        let (machine, uuid) = self::machine(&["nvme0n1p3"]);
        let (able, unable) = found(&machine, &uuid, "eui.0025385b71b00d21", Part::Number(3));
        assert!(able.is_empty() && unable[0].contains("NVMe"), "{unable:?}");
        let (machine, uuid) = self::machine(&["sdb"]);
        machine.set(NO_MULTIPATH);
        machine.set(&format!("/sys/block/sdc/device/wwid = {MULTIPATH}\n"));
        let (able, unable) = found(&machine, &uuid, MULTIPATH, Part::Whole);
        assert!(able.is_empty() && unable[0].contains("several paths"), "{unable:?}");
    }
}
