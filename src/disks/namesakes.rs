//! Disks that have one world-wide name between them.
//!
//! A name is the maker's promise that nobody else has it. Some makers break it: batches of SSDs with one name, LUNs of a
//! device that all have its name. Another machine cannot tell such disks apart by it, so nobody may go by it. Two devices
//! here may also be two paths to one disk, which say the same of it.

use std::collections::{BTreeMap, BTreeSet};

use super::block::{Device, Identity, Kind};
use super::running::Look;
use super::{DiskId, Roots};

/// Devices that cannot be told apart elsewhere.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Namesakes(BTreeMap<DiskId, BTreeSet<String>>);

impl Namesakes {
    /// Looks among the members of all arrays, and for each at the other devices with its name.
    pub fn look(roots: &Roots, look: &Look) -> Self {
        let mut found = Self::default();
        let members: Vec<Device> = look
            .arrays
            .iter()
            .flat_map(|running| &running.array.members)
            // A disk that was lost and came back under another name may be listed twice, faulty and as what it is.
            .filter(|member| !member.has("faulty"))
            .map(|member| Device {
                name: member.name.clone(),
                identity: member.identity.clone(),
                sectors: None,
            })
            .collect();
        // Where devices cannot be listed the members are still compared with each other.
        let all = roots.devices().unwrap_or_default();
        for member in &members {
            for other in members.iter().filter(|other| are_two_members(roots, member, other)) {
                found.add(member, other);
            }
            for other in all.iter().filter(|other| !members.iter().any(|known| known.name == other.name)) {
                if are_two_disks(roots, &all, member, other) {
                    found.add(member, other);
                }
            }
        }
        found
    }

    fn add(&mut self, one: &Device, other: &Device) {
        if let Identity::Disk { id, .. } = &one.identity {
            self.0.entry(id.clone()).or_default().extend([one.name.clone(), other.name.clone()]);
        }
    }

    /// Whether this is the name of more than one disk.
    pub fn share(&self, id: &DiskId) -> bool {
        self.0.contains_key(id)
    }

    /// For people, a sentence a name.
    pub fn said(&self) -> Vec<String> {
        let sentence = |(id, names): (&DiskId, &BTreeSet<String>)| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let names = match names.as_slice() {
                [some @ .., last] if !some.is_empty() => format!("{} and {last}", some.join(", ")),
                names => names.join(", "),
            };
            format!("{names} have one world-wide name, {id}: no takeover goes by it")
        };
        self.0.iter().map(sentence).collect()
    }
}

/// Two members at once are never one place of one disk: md claims each of its members for itself alone.
fn are_two_members(roots: &Roots, one: &Device, other: &Device) -> bool {
    let (
        Identity::Disk { id, kind, partition },
        Identity::Disk { id: of_other, kind: kind_of_other, partition: other_partition },
    ) = (&one.identity, &other.identity)
    else {
        return false;
    };
    if one.name == other.name || id != of_other {
        return false;
    }
    // Partitions of a map have nothing in common but its name.
    let is_of_a_map = [kind, kind_of_other].contains(&&Kind::Multipath);
    let are_parts = partition.is_some() && other_partition.is_some() && partition != other_partition;
    !are_parts || (!is_of_a_map && roots.disk_of(&one.name) != roots.disk_of(&other.name))
}

/// Whether another device of that name is another disk, and no path to the same: it says another size or serial number, or it
/// is another namespace of the same NVMe disk, which has one number however many paths lead to it.
fn are_two_disks(roots: &Roots, all: &[Device], member: &Device, other: &Device) -> bool {
    let (Identity::Disk { id, kind, partition }, Identity::Disk { id: of_other, kind: way, partition: at }) =
        (&member.identity, &other.identity)
    else {
        return false;
    };
    if id != of_other || partition != at || [kind, way].contains(&&Kind::Multipath) {
        return false;
    }
    let size = |name: &str| all.iter().find(|device| device.name == name).and_then(|device| device.sectors);
    let differ =
        |one: Option<String>, other: Option<String>| matches!((one, other), (Some(a), Some(b)) if a != b);
    let text = |sectors: Option<u64>| sectors.map(|sectors| sectors.to_string());
    differ(text(size(&member.name)), text(size(&other.name)))
        || differ(roots.serial(&member.name), roots.serial(&other.name))
        || differ(roots.namespace(&member.name), roots.namespace(&other.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_machine::Machine;
    use crate::disks::running;

    const RAID10: &str = include_str!("../../tests/data/disks/raid10-sas.txt");
    const NAME: &str = "naa.5000cca04dab000";

    fn said(text: &str) -> Vec<String> {
        let machine = Machine::of(text);
        Namesakes::look(&machine.roots, &running::look(&machine.roots).unwrap()).said()
    }

    #[test]
    fn two_members_of_one_name_are_named_both() {
        assert_eq!(said(RAID10), Vec::<String>::new());
        let two = RAID10.replace(&format!("{NAME}1"), &format!("{NAME}0"));
        assert_eq!(
            said(&two),
            ["sda and sdb have one world-wide name, naa.5000cca04dab0000: no takeover goes by it"]
        );
        let all = ["1", "2", "3"]
            .iter()
            .fold(RAID10.to_owned(), |text, at| text.replace(&format!("{NAME}{at}"), &format!("{NAME}0")));
        let said = said(&all);
        assert!(said.len() == 1 && said[0].starts_with("sda, sdb, sdc and sdd have one"), "{said:?}");
    }

    #[test]
    fn another_disk_is_told_from_another_path() {
        let beside = |more: &str| {
            said(&format!(
                "{RAID10}/sys/block/sdx/device/wwid = {NAME}0\n/sys/block/sdx/dev = 65:112\n\
                 /sys/block/sda/device/vpd_pg80 = xxxxSERIAL1\n{more}\n"
            ))
        };
        let path = "/sys/block/sda/size = 100\n/sys/block/sdx/size = 100\n/sys/block/sdx/device/vpd_pg80 = xxxxSERIAL1";
        assert_eq!(beside(path), Vec::<String>::new());
        assert_eq!(beside("").len(), 0, "it says nothing of itself");
        let other = beside(&path.replace("SERIAL1", "SERIAL2"));
        assert!(other.len() == 1 && other[0].starts_with("sda and sdx have one"), "{other:?}");
        assert_eq!(beside("/sys/block/sda/size = 100\n/sys/block/sdx/size = 4096").len(), 1);
        // One maker wrote one EUI-64 into all namespaces of a disk: they have its serial number, and may have one size.
        let namespaces =
            |other: &str| format!("{path}\n/sys/block/sda/nsid = 1\n/sys/block/sdx/nsid = {other}");
        assert_eq!(beside(&namespaces("1")).len(), 0, "the other path to it");
        assert_eq!(beside(&namespaces("2")).len(), 1);
    }
}
