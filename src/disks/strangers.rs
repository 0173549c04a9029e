//! Disks that say that they are members of an array, and were not published as its members: somebody added one
//! since, or copied one.

use std::collections::BTreeSet;

use super::block::{Device, Identity};
use super::md_superblock::Superblock;
use super::places::{Place, Sight};

/// A smaller device has no room for a superblock beside data. An empty floppy drive says 8, and takes seconds to be
/// opened.
const LEAST_SECTORS: u64 = 24;

/// Looks at all block devices of this machine but md's own: (kernel name, the array's UUID). `sights` are of the
/// arrays, in their order; `read` gives a device's superblock, or none where it cannot be read: nobody calls that
/// one a member.
pub fn look(
    devices: &[Device],
    arrays: &[(String, BTreeSet<Place>)],
    sights: &[Vec<Sight>],
    mut read: impl FnMut(&str) -> Option<Superblock>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if arrays.is_empty() {
        return found;
    }
    for device in devices {
        if matches!(device.identity, Identity::Md(_))
            || device.sectors.is_some_and(|sectors| sectors < LEAST_SECTORS)
            || arrays.iter().all(|(_, places)| is_at(places, &device.identity))
        {
            continue;
        }
        let Some(superblock) = read(&device.name) else { continue };
        let of = arrays.iter().position(|(uuid, _)| *uuid == superblock.array);
        let Some((number, (uuid, places))) = of.and_then(|at| Some((at, arrays.get(at)?))) else { continue };
        let seen = sights.get(number).map_or(&[][..], Vec::as_slice);
        if !is_at(places, &device.identity) && !is_another_way(&device.identity, &superblock, seen) {
            found.push((device.name.clone(), uuid.clone()));
        }
    }
    found
}

fn is_at(places: &BTreeSet<Place>, identity: &Identity) -> bool {
    places.iter().any(|place| place.is(identity))
}

/// What has no name of its own, and says that it is a member which is at its place, is another way to that one's
/// bytes (what an exported disk is made of, a mapping over it). A disk with a name that says so is a copy.
fn is_another_way(identity: &Identity, superblock: &Superblock, sights: &[Sight]) -> bool {
    let is_it = |seen: &Superblock| seen.array == superblock.array && seen.device == superblock.device;
    matches!(identity, Identity::Unknown(_)) && sights.iter().flat_map(|sight| &sight.superblocks).any(is_it)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::places::{self, Part};
    use crate::disks::recorded_machine::Machine;
    use crate::disks::{DiskId, md_superblock};

    const SLOT_0: &str = "raid10-1.2-slot0";

    fn machine() -> Machine {
        Machine::of(include_str!("../../tests/data/disks/kinds.txt"))
    }

    fn uuid(machine: &Machine, device: &str) -> String {
        md_superblock::read(&machine.roots.node(device)).unwrap().unwrap().array
    }

    /// Its places are sda2 and the multipath disk.
    fn strangers(machine: &Machine, uuid: &str) -> Vec<String> {
        let place = |disk: &str, part| Place { disk: DiskId::parse(disk).unwrap(), part };
        let places = BTreeSet::from([
            place("naa.5000cca04dab0000", Part::Number(2)),
            place("naa.60014050000abd150000000000000000", Part::Whole),
        ]);
        let sights = vec![places::look(&machine.roots, &places).unwrap()];
        let read = |name: &str| md_superblock::read(&machine.roots.node(name)).ok().flatten();
        let found = look(&machine.roots.devices().unwrap(), &[(uuid.to_owned(), places)], &sights, read);
        assert!(found.iter().all(|(_, of)| of == uuid), "{found:?}");
        found.into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_member_at_its_place_is_none_whichever_path_leads_to_it() {
        let machine = machine();
        for device in ["sda2", "sdb", "dm-0"] {
            machine.superblock(device, SLOT_0);
        }
        let uuid = uuid(&machine, "sda2");
        assert_eq!(strangers(&machine, &uuid), [""; 0]);
        assert_eq!(strangers(&machine, "another"), [""; 0]);
    }

    #[test]
    fn a_disk_or_another_partition_that_says_it_is_one() {
        let machine = machine();
        machine.superblock("sda2", SLOT_0);
        let uuid = uuid(&machine, "sda2");
        machine.superblock("nvme0n1p3", SLOT_0);
        machine.superblock("sda", "raid10-1.2-slot0");
        // A partition of the multipath disk, and an array of which it cannot be told.
        machine.superblock("dm-1", SLOT_0);
        machine.superblock("md127", SLOT_0);
        assert_eq!(strangers(&machine, &uuid), ["dm-1", "nvme0n1p3", "sda"]);
        machine.set("/sys/block/sda/size = 8\n");
        assert_eq!(strangers(&machine, &uuid), ["dm-1", "nvme0n1p3"]);
    }

    #[test]
    fn a_device_without_a_name_is_another_way_to_a_member_or_a_stranger() {
        let machine = machine();
        machine.superblock("vda", SLOT_0);
        let uuid = uuid(&machine, "vda");
        assert_eq!(strangers(&machine, &uuid), ["vda"], "the member itself is not seen at its place");
        machine.superblock("sda2", SLOT_0);
        assert_eq!(strangers(&machine, &uuid), [""; 0]);
    }
}
