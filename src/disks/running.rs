//! The arrays that the kernel has, with the filesystems on them and where these are mounted.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::block::Identity;
use super::md::{Array, State, devices_over, read_array};
use super::md_uuid;
use super::mountinfo::{self, Mount};
use super::{Roots, md_superblock, read, read_if_there, superblock};

/// One array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What the kernel says. Its UUID and name are its members' own where neither kernel nor udev say them.
    pub array: Array,
    /// What is on it; why nobody knows where something could not be read.
    pub over: Result<Vec<Over>, String>,
}

/// A filesystem on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// The kernel's name of its device (`md1`, `md1p1`, `dm-3`).
    pub device: String,
    /// `MAJOR:MINOR`.
    pub number: String,
    /// `xfs`, ...
    pub fs_type: String,
    /// In the form of its own tools.
    pub uuid: String,
    /// Whether its device is a partition that begins where the array does: then it shows the array's own first bytes
    /// once more. No partition table leaves one there, but kernels that know Acorn's PowerTec tables (Debian's do) take
    /// one XFS of 256 for one, by a checksum of a byte; its first entry is then the filesystem's size, from 0. Seen.
    pub is_the_array_again: bool,
}

/// One look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// What was understood, by kernel name.
    pub arrays: Vec<Running>,
    /// Devices that are arrays, or may be, and could not be read: name, and why.
    pub unread: Vec<(String, String)>,
}

impl Look {
    /// The array with this UUID.
    pub fn array(&self, uuid: &str) -> Option<&Running> {
        self.arrays.iter().find(|running| running.array.uuid.as_deref() == Some(uuid))
    }
}

/// Looks at all of them.
///
/// # Errors
/// sysfs cannot be listed: nobody knows which there are.
pub fn look(roots: &Roots) -> io::Result<Look> {
    let mut found = Look::default();
    for device in roots.block_names()? {
        match read_array(roots, &device) {
            Ok(Some(array)) => found.arrays.push(running(roots, array)),
            Ok(None) => {}
            Err(error) => found.unread.push((device, error.to_string())),
        }
    }
    Ok(found)
}

fn running(roots: &Roots, mut array: Array) -> Running {
    // Its members' word before udev's, which may be of the array that had this number before.
    let by_udev = match md_uuid::kernels_uuid(roots, &array.device) {
        Some(_) => None,
        None => array.uuid.take(),
    };
    if array.uuid.is_none() || (array.name.is_none() && array.metadata.starts_with("1.")) {
        by_its_members(roots, &mut array);
    }
    array.uuid = array.uuid.or(by_udev);
    let over = match array.state {
        State::Running | State::ReadOnly => over(roots, &array).map_err(|error| error.to_string()),
        State::Inactive | State::Broken => Ok(Vec::new()),
    };
    Running { array, over }
}

/// Before kernel 6.0, and without udev, only the superblocks say it. Members that say two things say nothing.
fn by_its_members(roots: &Roots, array: &mut Array) {
    let mut said = BTreeSet::new();
    for member in &array.members {
        if matches!(member.identity, Identity::Md(_)) || member.has("faulty") {
            continue;
        }
        if let Ok(Some(found)) = md_superblock::read(&roots.node(&member.name)) {
            said.insert((found.array, found.set_name));
        }
    }
    let mut said = said.into_iter();
    if let (Some((uuid, name)), None) = (said.next(), said.next())
        && array.uuid.as_ref().is_none_or(|known| *known == uuid)
    {
        array.uuid = Some(uuid);
        array.name = Some(name);
    }
}

fn over(roots: &Roots, array: &Array) -> io::Result<Vec<Over>> {
    let mut found = Vec::new();
    for (device, number) in devices_over(roots, &array.device)? {
        let udev = md_uuid::udev_of(roots, &number, array.uuid.as_deref());
        if let Some((fs_type, uuid)) = filesystem(roots, &device, &udev)? {
            let start = read_if_there(&roots.block(&array.device).join(&device).join("start"))?;
            let is_the_array_again = start.as_deref() == Some("0");
            found.push(Over { device, number, fs_type, uuid, is_the_array_again });
        }
    }
    Ok(found)
}

/// What udev calls a signature that is no filesystem.
const NO_FILESYSTEMS: [&str; 4] = ["LVM2_member", "crypto_LUKS", "linux_raid_member", "swap"];

/// Udev's word, else the device's own.
fn filesystem(
    roots: &Roots,
    device: &str,
    udev: &BTreeMap<String, String>,
) -> io::Result<Option<(String, String)>> {
    if let (Some(fs_type), Some(uuid)) = (udev.get("ID_FS_TYPE"), udev.get("ID_FS_UUID")) {
        let is_one = !NO_FILESYSTEMS.contains(&fs_type.as_str());
        return Ok(is_one.then(|| (fs_type.clone(), uuid.clone())));
    }
    let found = superblock::filesystem(&roots.node(device))?;
    Ok(found.map(|(fs_type, uuid)| (fs_type.to_owned(), uuid)))
}

/// The mount table.
///
/// # Errors
/// It cannot be read, or not understood.
pub fn mounts(roots: &Roots) -> Result<Vec<Mount>, String> {
    let path = roots.proc.join("self/mountinfo");
    let text = read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    mountinfo::parse(&text)
}

/// The places where the whole of the filesystem on this device is mounted and seen: not beneath a later mount.
pub fn places_of<'a>(mounts: &'a [Mount], number: &str) -> Vec<&'a str> {
    mounts
        .iter()
        .enumerate()
        .filter(|(at, mount)| {
            let is_covered = mounts.iter().skip(at + 1).any(|later| later.mountpoint == mount.mountpoint);
            mount.device == number && mount.root == "/" && !is_covered
        })
        .map(|(_, mount)| mount.mountpoint.as_str())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_machine::Machine;

    const RAID10: &str = include_str!("../../tests/data/disks/raid10-sas.txt");
    const UUID: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";

    #[test]
    fn an_array_is_seen_with_its_filesystem_and_where_that_is() {
        let machine = Machine::of(RAID10);
        let look = look(&machine.roots).unwrap();
        let running = look.array(UUID).unwrap();
        let over = running.over.as_ref().unwrap();
        assert_eq!((over.len(), over[0].fs_type.as_str()), (1, "xfs"));
        assert_eq!(over[0].uuid, "b74093a0-8a58-4938-9a65-e42ff579694c");
        let mounts = mounts(&machine.roots).unwrap();
        assert_eq!(places_of(&mounts, &over[0].number), ["/var/lib/nova/instances"]);
        assert_eq!((look.arrays.len(), look.unread.len()), (1, 0));
    }

    #[test]
    fn what_is_mounted_over_is_not_seen_and_a_part_is_not_the_whole() {
        let table = "\
36 22 9:1 / /srv rw - xfs /dev/md1 rw
37 22 9:1 /nova /var/lib/nova/instances rw - xfs /dev/md1 rw
38 22 9:1 / /mnt rw - xfs /dev/md1 rw
39 22 8:1 / /mnt rw - ext4 /dev/sda1 rw
";
        assert_eq!(places_of(&mountinfo::parse(table).unwrap(), "9:1"), ["/srv"]);
    }

    #[test]
    fn without_udev_and_a_newer_kernel_the_members_say_who_they_are() {
        let silent = RAID10.replace("/run/udev/", "/not/").replace("/md/uuid", "/md/not-there");
        let machine = Machine::of(&silent);
        machine.device("md1", 0);
        assert_eq!(look(&machine.roots).unwrap().arrays[0].array.uuid, None, "no member can be read");
        machine.superblock("sda", "raid10-1.2-slot0");
        machine.superblock("sdb", "raid10-1.2-slot3");
        let array = look(&machine.roots).unwrap().arrays.remove(0).array;
        assert_eq!(array.uuid.as_deref(), Some("d39ac4e4:a56fab61:d4af28db:9db625d6"));
        assert_eq!(array.name.as_deref(), Some("compute1:instances"));
        machine.superblock("sdc", "raid1-1.0-rebuilt");
        assert_eq!(look(&machine.roots).unwrap().arrays[0].array.uuid, None, "they contradict each other");
    }

    #[test]
    fn what_udev_still_says_of_the_array_that_had_the_number_before_is_not_believed() {
        let other = "d39ac4e4:a56fab61:d4af28db:9db625d6";
        let stale = RAID10.replace(&format!("MD_UUID={UUID}"), &format!("MD_UUID={other}"));
        let machine = Machine::of(&stale);
        machine.device("md1", 1 << 20);
        let found = look(&machine.roots).unwrap().arrays.remove(0);
        assert_eq!((found.array.uuid.as_deref(), found.array.name), (Some(UUID), None));
        assert_eq!(found.over, Ok(Vec::new()), "the device itself has no filesystem yet");
        // A kernel that does not say who the array is: its members do.
        let machine = Machine::of(&RAID10.replace("/md/uuid", "/md/not-there"));
        machine.device("md1", 1 << 20);
        machine.superblock("sda", "raid10-1.2-slot0");
        let found = look(&machine.roots).unwrap().arrays.remove(0);
        assert_eq!(found.array.uuid.as_deref(), Some(other));
        assert_eq!((found.array.name.as_deref(), found.over), (Some("compute1:instances"), Ok(Vec::new())));
    }

    #[test]
    fn a_partition_that_the_kernel_read_out_of_the_filesystem_is_the_array_again() {
        let part = |number: u32, start: u32| {
            format!(
                "/sys/block/md1/md1p{number}/partition = {number}\n/sys/block/md1/md1p{number}/start = {start}\n\
                 /sys/block/md1/md1p{number}/dev = 259:{number}\n/run/udev/data/b259:{number} = \
                 E:ID_FS_TYPE=xfs\\nE:ID_FS_UUID=b74093a0-8a58-4938-9a65-e42ff579694c\n"
            )
        };
        let machine = Machine::of(&format!("{RAID10}{}{}", part(1, 0), part(4, 2048)));
        let look = look(&machine.roots).unwrap();
        let over = look.array(UUID).unwrap().over.as_ref().unwrap();
        let found: Vec<(&str, bool)> =
            over.iter().map(|over| (over.device.as_str(), over.is_the_array_again)).collect();
        assert_eq!(found, [("md1", false), ("md1p1", true), ("md1p4", false)]);
    }

    #[test]
    fn one_that_cannot_be_read_is_named_beside_the_others() {
        let machine = Machine::of(&format!(
            "{RAID10}/sys/block/md2/md/array_state = suspended\n/sys/block/md1/md1p1/partition = 1\n\
             /sys/block/md1/md1p1/dev = 259:1\n"
        ));
        let look = look(&machine.roots).unwrap();
        assert_eq!((look.arrays.len(), look.unread[0].0.as_str()), (1, "md2"));
        assert!(look.arrays[0].over.is_err(), "udev does not know md1p1, and its node is not there");
    }
}
