//! What disks, images, the kernel, udev and the programs of storage say.

use std::cell::RefCell;
use std::path::Path;

use super::holds::{json, sentence, which};
use super::power::finished;
use crate::disks::image::{self, Image};
use crate::disks::md::{self, Array};
use crate::disks::md_superblock::{self, Role};
use crate::disks::md_uuid;
use crate::disks::reservation_key::ReservationKey;
use crate::disks::{DiskId, Roots, mountinfo, owner_mark, pairs, qcow2, running, superblock as filesystem};
use crate::recovery::guest_folder::leads::{Leads, leads};
use crate::recovery::guest_folder::look::disk_info_said;
use crate::recovery::local_reservations::sg_persist_said;
use crate::recovery::storage::answer::Answer;
use crate::recovery::storage::contract;
use crate::recovery::world::Said;

/// A block of a disk, whose checksum is made right for half of them: else nothing behind it would ever be read.
pub(super) fn superblock(data: &[u8]) {
    let _ = filesystem::said(data);
    let Some((how, block)) = which(data, 6) else { return };
    let (minor, sector) = [(0, 49136), (1, 0), (2, 8)].get(how % 3).copied().unwrap_or((2, 8));
    let mut block = block.to_vec();
    block.truncate(4096);
    if how < 3 {
        block.resize(4096, 0);
        with_checksum(&mut block);
    }
    let Ok(Some(found)) = md_superblock::parse(&block, minor, sector) else { return };
    assert_eq!(md_uuid::uuid(&found.array).as_ref(), Some(&found.array), "an array by no name");
    assert!(found.set_name.len() <= 3 * 32 && !found.set_name.contains(['\0', '\n']));
    match found.role {
        // Only what the superblock itself counts among its members has a place.
        Role::Place(place) => assert_eq!(found.members.get(&found.number), Some(&place)),
        Role::Spare | Role::Faulty | Role::Journal => {}
    }
    assert!(found.members.len() <= 1920);
    mark(&found.set_name);
}

/// The mark of an HA node on an array of any name is its own, and fits.
fn mark(name: &str) {
    let mark = owner_mark::mark("ha1", name);
    assert!(mark.len() <= owner_mark::MAX_BYTES && owner_mark::update_options(&mark).is_some(), "{mark:?}");
    assert!(owner_mark::is_marked_by(&mark, "ha1") && !owner_mark::is_marked_by(&mark, "ha2"), "{mark:?}");
    if let Some(options) = owner_mark::update_options(name) {
        assert!(options.iter().all(|option| option.starts_with("--")));
    }
}

fn with_checksum(block: &mut [u8]) {
    let word = |block: &[u8], at: usize| {
        let four = block.get(at..at + 4).and_then(|four| four.try_into().ok());
        four.map_or(0, u32::from_le_bytes)
    };
    let members = word(block, 220) as usize % 1920;
    if let Some(place) = block.get_mut(220..224) {
        place.copy_from_slice(&(members as u32).to_le_bytes());
    }
    let length = 256 + 2 * members;
    let mut sum = 0_u64;
    for at in (0..length).step_by(4).filter(|at| *at != 216) {
        let whole = word(block, at);
        sum += u64::from(if at + 4 > length { whole & 0xffff } else { whole });
    }
    let folded = ((sum & 0xffff_ffff) + (sum >> 32)) as u32;
    if let Some(place) = block.get_mut(216..220) {
        place.copy_from_slice(&folded.to_le_bytes());
    }
}

/// The beginning of a file: whoever opens a qcow image opens no other file that nobody was told of.
pub(super) fn image(data: &[u8]) {
    match image::image(data) {
        Image::Alone => assert!(!data.starts_with(&qcow2::MAGIC), "a qcow image that stands for itself"),
        Image::Qcow2(header) => {
            let Some(backing) = header.backing else { return };
            assert!(!backing.name.is_empty() && backing.name.len() <= 1023);
            assert!(data.windows(backing.name.len()).any(|part| part == backing.name), "an invented name");
            if let Leads::Folder(file) | Leads::Base(file) =
                leads(&backing.name, "00000000-0000-4000-8000-000000000001", &["/instances"])
            {
                assert!(!file.is_empty() && !file.contains(['/', ':', '\0']) && file != "..", "{file:?}");
            }
        }
        Image::Malformed(why) => sentence(&why.to_string()),
        Image::CanNameOthers(format) => assert!(!format.is_empty()),
    }
}

/// `disk.info`: nothing strange only where each format is one of the two.
pub(super) fn disk_info(data: &[u8]) {
    match disk_info_said(data) {
        Some(strange) => sentence(&strange.to_string()),
        None => {
            let Some(said) = json(data) else { return };
            let formats = said.as_object().cloned().unwrap_or_default();
            assert!(formats.values().all(|format| *format == "raw" || *format == "qcow2"), "{said}");
        }
    }
}

/// Names of disks, keys of reservations, UUIDs of arrays, and `KEY=value` texts. Each has one spelling here.
pub(super) fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for word in text.lines() {
        match DiskId::parse(word) {
            Ok(id) => {
                assert_eq!(DiskId::parse(id.as_str()).as_ref(), Ok(&id), "its own name is not its name");
                assert_eq!(DiskId::parse(&id.scsi_id()).as_ref(), Ok(&id), "{}", id.scsi_id());
                assert!(!id.as_str().contains(['/', '\n', '\0']));
            }
            Err(why) => sentence(&why.to_string()),
        }
        if let Ok(key) = ReservationKey::parse(word) {
            assert_eq!(ReservationKey::parse(&key.to_string()).as_ref(), Ok(&key));
            let digits = word.strip_prefix("0x").unwrap_or(word);
            assert!(digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{word:?} is a key");
        }
        if let Some(uuid) = md_uuid::uuid(word) {
            assert_eq!(md_uuid::uuid(&uuid), Some(uuid));
        }
        mark(word);
    }
    let found = pairs::parse(&text);
    assert!(found.iter().all(|(key, value)| text.contains(key.as_str()) && text.contains(value.as_str())));
    assert!(pairs::udev(&text).len() <= text.lines().count());
}

/// The mount table is read whole or not at all.
pub(super) fn mountinfo(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match mountinfo::parse(&text) {
        Ok(mounts) => {
            assert_eq!(mounts.len(), text.trim_end().lines().count());
            let _ = running::places_of(&mounts, "9:1");
            assert!(mounts.iter().all(|mount| mount.mountpoint.len() <= text.len()));
        }
        Err(why) => sentence(&why),
    }
}

/// How sg_persist ended and what it said. A disk is nobody's only where it says that and names nobody.
pub(super) fn sg_persist(data: &[u8]) {
    let Some(finished) = finished(data) else { return };
    let said = String::from_utf8_lossy(&finished.stdout.bytes).into_owned();
    let (holder, keys) = sg_persist_said(&finished);
    match holder {
        Ok(None) => {
            assert!(said.contains("there is NO reservation held"));
            assert!(
                !said.lines().any(|line| line.trim().starts_with("Key=")),
                "nobody, and somebody: {said}"
            );
        }
        Ok(Some(key)) => {
            let named: Vec<_> = keys.clone().unwrap_or_default();
            assert!(named.iter().all(|other| *other == key), "one of two: {said}");
        }
        Err(why) => sentence(&why),
    }
    for key in keys.unwrap_or_default() {
        assert_eq!(ReservationKey::parse(&key.to_string()).ok(), Some(key));
    }
}

/// A site's own program: it has taken the storage only where it ended well and says so of this very place.
pub(super) fn storage_exec(data: &[u8]) {
    let Some(finished) = finished(data) else { return };
    let said = Said {
        ended: finished.ended,
        stdout: finished.stdout.bytes,
        cut: finished.stdout.cut,
        stderr: String::from_utf8_lossy(&finished.stderr.bytes).into_owned(),
    };
    let answer = contract::answer(&said, Path::new("/instances"));
    sentence(&answer.text());
    let Some(document) = json(&said.stdout) else { return };
    let state = document.get("state").and_then(serde_json::Value::as_str);
    let is_clear = said.ended == crate::program::Ended::Exit(0) && !said.cut;
    match &answer {
        Answer::Taken { .. } => assert!(is_clear && state == Some("taken"), "{document}"),
        Answer::Ready { .. } => assert!(is_clear && state == Some("ready"), "{document}"),
        Answer::Refused { .. } => assert!(is_clear && state == Some("refused"), "{document}"),
        Answer::Contradicted { .. } | Answer::HostLives { .. } => assert!(!is_clear, "{document}"),
        Answer::CannotTell { .. } => {}
    }
}

/// The files of an array that the kernel and udev have, in the order of the lines of a seed.
const FILES: [&str; 18] = [
    "sys/block/md1/md/array_state",
    "sys/block/md1/md/metadata_version",
    "sys/block/md1/md/uuid",
    "sys/block/md1/md/level",
    "sys/block/md1/md/raid_disks",
    "sys/block/md1/md/layout",
    "sys/block/md1/md/degraded",
    "sys/block/md1/md/sync_action",
    "sys/block/md1/dev",
    "run/udev/data/b9:1",
    "sys/block/md1/md/dev-sda/state",
    "sys/block/md1/md/dev-sda/slot",
    "sys/block/sda/dev",
    "sys/block/sda/device/wwid",
    "run/udev/data/b8:0",
    "sys/block/md1/md/dev-dm-0/state",
    "sys/block/md1/md/dev-dm-0/slot",
    "sys/block/dm-0/dm/uuid",
];

/// A machine of these files. What did not change since the last time is not written again: a target that writes twenty files
/// each time finds little.
struct Machine {
    folder: tempfile::TempDir,
    roots: Roots,
    has: [Option<Vec<u8>>; FILES.len()],
}

impl Machine {
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().ok()?;
        let at = |path: &str| folder.path().join(path);
        let roots = Roots { sys: at("sys"), proc: at("proc"), udev: at("run/udev/data"), dev: at("dev") };
        for file in FILES {
            std::fs::create_dir_all(at(file).parent()?).ok()?;
        }
        Some(Self { folder, roots, has: [const { None }; FILES.len()] })
    }

    /// An empty line is a file that is not there; `\n` in a line is a line end.
    fn set(&mut self, lines: &[u8]) -> Option<()> {
        let mut lines = lines.split(|byte| *byte == b'\n');
        for (file, has) in FILES.iter().zip(&mut self.has) {
            let line = lines.next().unwrap_or_default();
            if has.as_deref().unwrap_or_default() == line {
                continue;
            }
            let path = self.folder.path().join(file);
            if line.is_empty() {
                std::fs::remove_file(path).ok()?;
            } else {
                let text = String::from_utf8_lossy(line).replace("\\n", "\n");
                let bytes = if text.contains('\u{fffd}') { line.to_vec() } else { text.into_bytes() };
                std::fs::write(path, bytes).ok()?;
            }
            *has = (!line.is_empty()).then(|| line.to_vec());
        }
        Some(())
    }
}

thread_local! {
    static MACHINE: RefCell<Option<Machine>> = const { RefCell::new(None) };
}

/// An array as the kernel and udev say it: one that is there has a state that the kernel knows.
pub(super) fn sysfs(data: &[u8]) {
    MACHINE.with_borrow_mut(|kept| {
        let machine = match kept {
            Some(machine) => machine,
            None => {
                let Some(made) = Machine::new() else { return };
                kept.insert(made)
            }
        };
        machine.set(data);
        assert!(machine.folder.path().is_dir());
        match md::read_array(&machine.roots, "md1") {
            Ok(Some(array)) => is_sound(&array),
            Ok(None) => {}
            Err(why) => sentence(&why.to_string()),
        }
        if let Ok(look) = running::look(&machine.roots) {
            look.arrays.iter().for_each(|found| is_sound(&found.array));
        }
    });
}

fn is_sound(array: &Array) {
    if let Some(uuid) = &array.uuid {
        assert_eq!(md_uuid::uuid(uuid).as_ref(), Some(uuid), "an array by no name");
    }
    for member in &array.members {
        assert!(!member.is_in_sync() || member.has("in_sync"), "{member:?}");
        if let crate::disks::block::Identity::Unknown(why) = &member.identity {
            sentence(why);
        }
    }
}
