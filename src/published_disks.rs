//! What a host published of its disks, for those who look at the disks themselves: at which places an array's
//! members were, and which filesystems the guests need. Pure.

use std::collections::BTreeSet;
use std::path::Path;

use crate::disks::DiskId;
use crate::disks::places::{Part, Place};
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::{Filesystem, MdArray, Member};

/// Nova's default, for what published no `instances_path` (the original did not).
const INSTANCES_PATH: &str = "/var/lib/nova/instances";

/// Where the members of an array were. The original wrote disks only.
///
/// # Errors
/// One of them is no name of a disk.
pub fn places(array: &MdArray) -> Result<BTreeSet<Place>, String> {
    let whole = |partition: Option<u32>| partition.map_or(Part::Whole, Part::Number);
    let ours = array.members.iter().map(|member| (member.disk.as_str(), whole(member.partition)));
    let originals = array.devices.keys().map(|name| (name.as_str(), Part::Any));
    let all: Vec<(&str, Part)> = match array.members.is_empty() {
        false => ours.collect(),
        true => originals.collect(),
    };
    all.into_iter()
        .map(|(disk, part)| {
            let disk = DiskId::parse(disk).map_err(|error| format!("array {}: {error}", array.uuid))?;
            Ok(Place { disk, part })
        })
        .collect()
}

/// Two members of an array that were published with one place: two disks have one world-wide name then (a build that did not
/// look at that published it, or somebody else did). Nobody who takes the array may go by it.
pub fn namesakes(array: &MdArray) -> Option<String> {
    let place = |member: &Member| DiskId::parse(&member.disk).ok().map(|disk| (disk, member.partition));
    let called = |member: &Member| member.slot.map(|slot| slot.to_string()).unwrap_or_default();
    let mut known: Vec<(&Member, (DiskId, Option<u32>))> = Vec::new();
    for member in array.members.iter().filter(|member| member.slot.is_some()) {
        let Some(at) = place(member) else { continue };
        let clash = known.iter().find(|(_, (disk, partition))| {
            *disk == at.0 && (*partition == at.1 || partition.is_none() || at.1.is_none())
        });
        if let Some((other, _)) = clash {
            let (one, two) = (called(other), called(member));
            return Some(format!("its members {one} and {two} have one world-wide name, {}", at.0));
        }
        known.push((member, at));
    }
    None
}

/// Where the host's guests are.
pub fn instances_path(config: &RuntimeConfig) -> &Path {
    Path::new(config.instances_path.as_deref().unwrap_or(INSTANCES_PATH))
}

/// The filesystems without which the guests' disks are not where Nova looks for them: the one that holds
/// `instances_path`, and those beneath it.
pub fn of_the_guests(config: &RuntimeConfig) -> Vec<&Filesystem> {
    let instances = instances_path(config);
    let holding = config
        .filesystems
        .iter()
        .filter(|fs| instances.starts_with(&fs.mountpoint))
        .max_by_key(|fs| Path::new(&fs.mountpoint).components().count());
    let beneath = |fs: &&Filesystem| {
        let at = Path::new(&fs.mountpoint);
        at != instances && at.starts_with(instances)
    };
    holding.into_iter().chain(config.filesystems.iter().filter(beneath)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::runtime_config::arrays::OriginalDevice;

    #[test]
    fn an_array_is_looked_for_where_it_was_published() {
        let member = |disk: &str, partition| Member {
            disk: disk.into(),
            partition,
            kind: "scsi".into(),
            slot: None,
            in_sync: true,
        };
        let mut array = MdArray { uuid: "a".into(), ..MdArray::default() };
        assert_eq!(places(&array).unwrap(), BTreeSet::new());
        array.devices.insert("35000cca04dab0000".into(), OriginalDevice::default());
        let disk = DiskId::parse("naa.5000cca04dab0000").unwrap();
        let place = |part| BTreeSet::from([Place { disk: disk.clone(), part }]);
        assert_eq!(places(&array).unwrap(), place(Part::Any));
        array.members.push(member("naa.5000cca04dab0000", None));
        assert_eq!(places(&array).unwrap(), place(Part::Whole));
        array.members[0].partition = Some(2);
        assert_eq!(places(&array).unwrap(), place(Part::Number(2)));
        array.members[0].slot = Some(0);
        array.members.push(Member { slot: Some(1), ..member("naa.5000cca04dab0000", Some(3)) });
        array.members.push(member("naa.5000cca04dab0000", Some(2)));
        assert_eq!(namesakes(&array), None, "two partitions of one disk, and what was given up");
        for again in [Some(2), None] {
            let mut array = array.clone();
            array.members.push(Member { slot: Some(2), ..member("0x5000CCA04DAB0000", again) });
            let why = namesakes(&array).unwrap();
            assert!(why.contains("members 0 and 2") && why.contains("naa.5000cca04dab0000"), "{why}");
        }
        array.members.push(member("sda", None));
        assert!(places(&array).unwrap_err().contains("sda"));
    }

    #[test]
    fn the_guests_need_what_holds_their_folder_and_what_is_beneath_it() {
        let at = |mountpoint: &str| Filesystem {
            uuid: mountpoint.into(),
            fs_type: "xfs".into(),
            mountpoint: mountpoint.into(),
            array: "a".into(),
        };
        let config = |instances: Option<&str>, mounts: &[&str]| RuntimeConfig {
            instances_path: instances.map(str::to_owned),
            filesystems: mounts.iter().map(|mount| at(mount)).collect(),
            ..RuntimeConfig::default()
        };
        for (instances, mounts, expected) in [
            (None, &["/", "/var/lib/nova/instances"][..], &["/var/lib/nova/instances"][..]),
            (None, &["/", "/srv"], &["/"]),
            (None, &["/srv"], &[]),
            (Some("/srv/nova"), &["/srv", "/srv/nova/big", "/srv/novae"], &["/srv", "/srv/nova/big"]),
        ] {
            let config = config(instances, mounts);
            let found: Vec<&str> = of_the_guests(&config).iter().map(|fs| fs.mountpoint.as_str()).collect();
            assert_eq!(found, expected, "{mounts:?}");
        }
    }
}
