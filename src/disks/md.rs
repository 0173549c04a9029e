//! md arrays as sysfs shows them (the kernel's Documentation/admin-guide/md.rst).
//!
//! What the original got wrong here: it took only `clean` and `active` for an array that is there,
//! so that one which was idle for a moment, written to or just assembled vanished from the tree.

use std::io;
use std::path::Path;

use super::block::Identity;
use super::md_uuid::{udev_of, uuid_of};
use super::{Roots, read, read_if_there};
use crate::say::short;

/// `array_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// `clean`, `active`, `active-idle`, `write-pending`, `read-auto`: it works. Which of them changes from one
    /// moment to the next.
    Running,
    /// `readonly`: somebody made it so.
    ReadOnly,
    /// Its members are known and it does not run.
    Inactive,
    /// `broken`: too many members are gone (kernel 5.4 and later).
    Broken,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name on this machine.
    pub name: String,
    /// Who it is.
    pub identity: Identity,
    /// Its place in the array; none for a spare.
    pub slot: Option<u32>,
    /// The flags of its `state`: `in_sync`, `faulty`, `spare`, `journal`, `write_mostly`, ...
    pub flags: Vec<String>,
}

impl Member {
    /// Whether it has all the data of its place.
    pub fn is_in_sync(&self) -> bool {
        self.has("in_sync") && !self.has("faulty")
    }

    /// One flag.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|known| known == flag)
    }
}

/// One array.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Its name on this machine (`md1`).
    pub device: String,
    /// `MAJOR:MINOR`.
    pub number: String,
    /// Whether it works.
    pub state: State,
    /// As mdadm writes it; none where neither kernel nor udev say it.
    pub uuid: Option<String>,
    /// The name in its superblocks, where udev says it.
    pub name: Option<String>,
    /// `raid10`, ...; empty where it does not run.
    pub level: String,
    /// How many places it has; 0 where it does not run.
    pub raid_disks: u32,
    /// The kernel's number of the layout; its meaning depends on the level.
    pub layout: Option<u32>,
    /// `1.2`, `0.90`, `external:...`.
    pub metadata: String,
    /// Empty places; 0 where the level has no redundancy.
    pub degraded: u32,
    /// Whether its shape is being changed.
    pub reshaping: bool,
    /// Its members, by name.
    pub members: Vec<Member>,
}

/// Reads the array of this kernel name. `None`: there is none (no md device, an empty one, or a
/// container that only holds metadata).
///
/// # Errors
/// It is there, and something about it cannot be read.
pub fn read_array(roots: &Roots, device: &str) -> io::Result<Option<Array>> {
    let md = roots.block(device).join("md");
    let Some(state) = read_if_there(&md.join("array_state"))? else { return Ok(None) };
    let state = match state.as_str() {
        "clear" => return Ok(None),
        "clean" | "active" | "active-idle" | "write-pending" | "read-auto" => State::Running,
        "readonly" => State::ReadOnly,
        "inactive" => State::Inactive,
        "broken" => State::Broken,
        other => return Err(io::Error::other(format!("array_state says {:?}", short(other)))),
    };
    let metadata = read_if_there(&md.join("metadata_version"))?.unwrap_or_default();
    if metadata.strip_prefix("external:").is_some_and(|rest| !rest.starts_with(['/', '-'])) {
        return Ok(None);
    }
    let number = read(&roots.block(device).join("dev"))?;
    let uuid = uuid_of(roots, device);
    let udev = udev_of(roots, &number, uuid.as_deref());
    let sync = read_if_there(&md.join("sync_action"))?;
    Ok(Some(Array {
        device: device.to_owned(),
        number,
        state,
        uuid,
        name: udev.get("MD_NAME").cloned(),
        level: read_if_there(&md.join("level"))?.unwrap_or_default(),
        raid_disks: first_number(&md.join("raid_disks"))?.unwrap_or(0),
        layout: first_number(&md.join("layout"))?,
        metadata,
        degraded: first_number(&md.join("degraded"))?.unwrap_or(0),
        reshaping: sync.as_deref() == Some("reshape"),
        members: members(roots, &md)?,
    }))
}

fn members(roots: &Roots, md: &Path) -> io::Result<Vec<Member>> {
    let mut members = Vec::new();
    for entry in std::fs::read_dir(md)? {
        let file = entry?.file_name().to_string_lossy().into_owned();
        let Some(name) = file.strip_prefix("dev-") else { continue };
        let state = read(&md.join(&file).join("state"))?;
        members.push(Member {
            name: name.to_owned(),
            identity: roots.identify(name),
            slot: first_number(&md.join(&file).join("slot"))?,
            flags: state.split(',').map(|flag| flag.trim().to_owned()).collect(),
        });
    }
    members.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(members)
}

/// The number in a file: `4`, or `4 (5)` while the number changes. None: absent, `none`, or empty.
fn first_number(path: &Path) -> io::Result<Option<u32>> {
    let Some(text) = read_if_there(path)? else { return Ok(None) };
    match text.split_whitespace().next() {
        None | Some("none") => Ok(None),
        Some(word) => word
            .parse()
            .map(Some)
            .map_err(|_| io::Error::other(format!("{} says {:?}", path.display(), short(&text)))),
    }
}

/// A device on which the array's filesystems may be: the array, its partitions, and the mapped devices
/// over them (LVM), as (kernel name, `MAJOR:MINOR`).
///
/// # Errors
/// sysfs cannot be read.
pub fn devices_over(roots: &Roots, device: &str) -> io::Result<Vec<(String, String)>> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut waiting = vec![(device.to_owned(), roots.block(device))];
    while let Some((name, folder)) = waiting.pop() {
        if found.iter().any(|(known, _)| *known == name) {
            continue;
        }
        found.push((name.clone(), read(&folder.join("dev"))?));
        for entry in std::fs::read_dir(&folder)? {
            let part = entry?.file_name().to_string_lossy().into_owned();
            if folder.join(&part).join("partition").is_file() {
                waiting.push((part.clone(), folder.join(&part)));
            }
        }
        let holders = match std::fs::read_dir(folder.join("holders")) {
            Ok(holders) => holders,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in holders {
            let holder = entry?.file_name().to_string_lossy().into_owned();
            // Another array over this one has its own record.
            if !roots.block(&holder).join("md").is_dir() {
                waiting.push((holder.clone(), roots.block(&holder)));
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disks::recorded_tree::unpack;

    const RAID10: &str = include_str!("../../tests/data/disks/raid10-sas.txt");

    fn machine(recorded: &str) -> (tempfile::TempDir, Roots) {
        let folder = tempfile::tempdir().unwrap();
        unpack(recorded, folder.path());
        let at = |path: &str| folder.path().join(path);
        let roots = Roots { sys: at("sys"), proc: at("proc"), udev: at("run/udev/data"), dev: at("dev") };
        (folder, roots)
    }

    fn with(change: &str) -> io::Result<Option<Array>> {
        let (_folder, roots) = machine(&format!("{RAID10}{change}\n"));
        read_array(&roots, "md1")
    }

    #[test]
    fn a_recorded_array_is_read() {
        let array = with("").unwrap().unwrap();
        assert_eq!(array.uuid.as_deref(), Some("a3a88330:384edff1:0c126ded:b8d8ca93"));
        assert_eq!((array.level.as_str(), array.raid_disks, array.layout), ("raid10", 4, Some(258)));
        assert_eq!((array.metadata.as_str(), array.name.as_deref()), ("1.2", Some("compute1:md1")));
        assert!(array.members.len() == 4 && array.members.iter().all(Member::is_in_sync));
        assert_eq!(array.members[3].slot, Some(3));
        assert!(matches!(&array.members[3].identity,
            Identity::Disk { id, partition: None, .. } if id.as_str() == "naa.5000cca04dab0003"));
    }

    #[test]
    fn every_state_of_the_kernel_is_known_and_no_other() {
        for (word, expected) in [
            ("clean", Some(State::Running)),
            ("active", Some(State::Running)),
            ("active-idle", Some(State::Running)),
            ("write-pending", Some(State::Running)),
            ("read-auto", Some(State::Running)),
            ("readonly", Some(State::ReadOnly)),
            ("inactive", Some(State::Inactive)),
            ("broken", Some(State::Broken)),
            ("clear", None),
        ] {
            let found = with(&format!("/sys/block/md1/md/array_state = {word}")).unwrap();
            assert_eq!(found.map(|array| array.state), expected, "{word}");
        }
        let error = with("/sys/block/md1/md/array_state = suspended").unwrap_err();
        assert!(error.to_string().contains("suspended"));
        let long = "x".repeat(100_000);
        let error = with(&format!("/sys/block/md1/md/array_state = {long}")).unwrap_err();
        assert!(error.to_string().len() < 400, "a sentence quotes no more than a person reads");
        for bad in ["raid_disks = many", "degraded = x", "dev-sda/slot = -"] {
            assert!(with(&format!("/sys/block/md1/md/{bad}")).is_err(), "{bad}");
        }
    }

    #[test]
    fn spares_rebuilding_and_faulty_members_are_told_apart() {
        let array = with(
            "/sys/block/md1/md/dev-sdd/state = faulty\n/sys/block/md1/md/dev-sdd/slot = none\n\
             /sys/block/md1/md/dev-sde/state = spare\n/sys/block/md1/md/dev-sde/slot = 3\n\
             /sys/block/md1/md/degraded = 1\n/sys/block/md1/md/raid_disks = 4 (6)\n/sys/block/md1/md/sync_action = reshape",
        )
        .unwrap()
        .unwrap();
        assert_eq!((array.degraded, array.raid_disks, array.reshaping), (1, 4, true));
        let of = |at: usize| (array.members[at].slot, array.members[at].is_in_sync());
        assert_eq!((of(3), of(4)), ((None, false), (Some(3), false)));
        assert!(matches!(array.members[4].identity, Identity::Unknown(_)), "sde is not in this tree");
    }

    #[test]
    fn an_older_kernel_leaves_the_uuid_to_udev_and_a_container_is_no_array() {
        let without_own = RAID10.replace("/sys/block/md1/md/uuid", "/sys/block/md1/md/not-there");
        let (_folder, roots) = machine(&without_own);
        let found = read_array(&roots, "md1").unwrap().unwrap();
        assert_eq!(found.uuid.as_deref(), Some("a3a88330:384edff1:0c126ded:b8d8ca93"));
        let neither = without_own.replace("/run/udev/data/b9:1", "/run/udev/data/b9:2");
        let (_folder, roots) = machine(&neither);
        assert_eq!(read_array(&roots, "md1").unwrap().unwrap().uuid, None);
        assert_eq!(with("/sys/block/md1/md/metadata_version = external:imsm").unwrap(), None);
        let volume = with("/sys/block/md1/md/metadata_version = external:/md127/0").unwrap().unwrap();
        assert_eq!(volume.metadata, "external:/md127/0");
    }

    #[test]
    fn filesystems_may_be_on_partitions_and_on_lvm_over_it() {
        let (_folder, roots) = machine(&format!(
            "{RAID10}/sys/block/md1/md1p1/partition = 1\n/sys/block/md1/md1p1/dev = 259:5\n\
             /sys/block/md1/md1p1/holders/dm-0/x = 1\n/sys/block/dm-0/dev = 253:0\n"
        ));
        let found = devices_over(&roots, "md1").unwrap();
        let pair = |name: &str, number: &str| (name.to_owned(), number.to_owned());
        assert_eq!(found, [pair("dm-0", "253:0"), pair("md1", "9:1"), pair("md1p1", "259:5")]);
    }
}
