//! The places where an array's members were, as a host published them, and what is there now. Looks at the
//! disks themselves: the array need not run.

use std::collections::BTreeSet;
use std::{fmt, io};

use super::block::{Device, Identity};
use super::md_superblock::{self, Superblock};
use super::{DiskId, Roots};

/// Where a member was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The disk.
    pub disk: DiskId,
    /// Which part of it.
    pub part: Part,
}

impl Place {
    /// Whether a device is at this place.
    pub fn is(&self, identity: &Identity) -> bool {
        let Identity::Disk { id, partition, .. } = identity else { return false };
        self.disk == *id
            && match self.part {
                Part::Whole => partition.is_none(),
                Part::Number(number) => *partition == Some(number),
                Part::Any => true,
            }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.part {
            Part::Number(number) => write!(f, "partition {number} of {}", self.disk),
            Part::Whole | Part::Any => write!(f, "{}", self.disk),
        }
    }
}

/// A part of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// All of it.
    Whole,
    /// One partition.
    Number(u32),
    /// Nobody wrote down which (the original did not): the disk or any of its partitions.
    Any,
}

/// What is at one place now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Where.
    pub place: Place,
    /// Whether this machine sees it at all.
    pub is_here: bool,
    /// What could be read there: of any array, and usually one.
    pub superblocks: Vec<Superblock>,
    /// Why the rest could not.
    pub unreadable: Vec<String>,
}

/// Looks at each place. A disk that is seen by several paths is read by one that works.
///
/// # Errors
/// sysfs cannot be listed.
pub fn look(roots: &Roots, places: &BTreeSet<Place>) -> io::Result<Vec<Sight>> {
    match places.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(look_among(roots, &roots.devices()?, places)),
    }
}

/// The same, for who has this machine's devices listed already.
pub fn look_among(roots: &Roots, devices: &[Device], places: &BTreeSet<Place>) -> Vec<Sight> {
    let mut sights: Vec<Sight> = places
        .iter()
        .map(|place| Sight {
            place: place.clone(),
            is_here: false,
            superblocks: Vec::new(),
            unreadable: Vec::new(),
        })
        .collect();
    for device in devices {
        for sight in sights.iter_mut().filter(|sight| sight.place.is(&device.identity)) {
            look_at(roots, &device.name, sight);
        }
    }
    for sight in sights.iter_mut().filter(|sight| sight.place.part != Part::Any) {
        if sight.is_here && !sight.superblocks.is_empty() {
            // Another path to the same bytes answered.
            sight.unreadable.clear();
        }
    }
    sights
}

fn look_at(roots: &Roots, name: &str, sight: &mut Sight) {
    sight.is_here = true;
    match md_superblock::read(&roots.node(name)) {
        // A second path to it has nothing to add.
        Ok(Some(found)) if sight.superblocks.contains(&found) => {}
        Ok(Some(found)) => sight.superblocks.push(found),
        Ok(None) => {}
        Err(error) => sight.unreadable.push(format!("{name}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_machine::Machine;

    fn place(disk: &str, part: Part) -> Place {
        Place { disk: DiskId::parse(disk).unwrap(), part }
    }

    fn seen(machine: &Machine, places: &[Place]) -> Vec<(bool, usize, usize)> {
        look(&machine.roots, &places.iter().cloned().collect())
            .unwrap()
            .iter()
            .map(|sight| (sight.is_here, sight.superblocks.len(), sight.unreadable.len()))
            .collect()
    }

    const SDA: &str = "naa.5000cca04dab0000";
    const MULTIPATH: &str = "naa.60014050000abd150000000000000000";

    #[test]
    fn a_place_is_a_disk_and_a_part_of_it() {
        let machine = Machine::of(include_str!("../../tests/data/disks/kinds.txt"));
        machine.superblock("sda2", "raid10-1.2-slot0");
        machine.device("sda", 1 << 20);
        let sda = |part| place(SDA, part);
        assert_eq!(seen(&machine, &[sda(Part::Number(2))]), [(true, 1, 0)]);
        assert_eq!(seen(&machine, &[sda(Part::Whole)]), [(true, 0, 0)]);
        assert_eq!(seen(&machine, &[sda(Part::Number(3))]), [(false, 0, 0)]);
        assert_eq!(seen(&machine, &[sda(Part::Any)]), [(true, 1, 0)]);
        assert_eq!(seen(&machine, &[place("naa.5000cca04dab0009", Part::Any)]), [(false, 0, 0)]);
        assert_eq!(seen(&machine, &[]), []);
    }

    #[test]
    fn one_working_path_to_a_disk_is_enough_and_none_is_unreadable() {
        let machine = Machine::of(include_str!("../../tests/data/disks/kinds.txt"));
        // sdb is a path of dm-0, and its node is not there.
        let whole = place(MULTIPATH, Part::Whole);
        assert_eq!(seen(&machine, std::slice::from_ref(&whole)), [(true, 0, 2)]);
        machine.superblock("dm-0", "raid10-1.2-slot0");
        assert_eq!(seen(&machine, std::slice::from_ref(&whole)), [(true, 1, 0)]);
        machine.superblock("sdb", "raid10-1.2-slot0");
        assert_eq!(seen(&machine, &[whole]), [(true, 1, 0)]);
    }
}
