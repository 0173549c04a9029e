use std::io::Write;

use super::*;
use crate::disks::recorded_superblock::recorded;

/// A disk of 24 MiB with these superblocks.
fn disk(superblocks: &[&str]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(24 << 20).unwrap();
    for (sector, block) in superblocks.iter().map(|name| recorded(name)) {
        file.seek(SeekFrom::Start(sector * SECTOR)).unwrap();
        file.write_all(&block).unwrap();
    }
    file
}

fn on(superblocks: &[&str]) -> io::Result<Option<Superblock>> {
    read(disk(superblocks).path())
}

#[test]
fn what_mdadm_wrote_is_read() {
    let found = on(&["raid10-1.2-slot0"]).unwrap().unwrap();
    assert_eq!(
        found,
        Superblock {
            minor_version: 2,
            array: "d39ac4e4:a56fab61:d4af28db:9db625d6".into(),
            set_name: "compute1:instances".into(),
            device: "97b3a5a9:89093de8:dc629645:3ab0ab08".into(),
            level: "raid10".into(),
            layout: 258,
            raid_disks: 4,
            sectors: 45056,
            events: 0,
            role: Role::Place(0),
            number: 0,
            members: (0..4).map(|slot| (u32::from(slot), slot)).collect(),
            is_clean: true,
            has_bitmap: false,
            is_recovering: false,
            is_reshaping: false,
            created: found.created,
            updated: found.created,
        }
    );
    assert_eq!(on(&["raid10-1.2-slot3"]).unwrap().unwrap().role, Role::Place(3));
    let mirror = on(&["raid1-1.0-rebuilt"]).unwrap().unwrap();
    assert_eq!((mirror.minor_version, mirror.level.as_str(), mirror.events), (0, "raid1", 19));
    assert_eq!((mirror.role, mirror.has_bitmap), (Role::Place(0), true), "no spare any more");
    assert_eq!((mirror.number, mirror.members), (2, [(1, 1), (2, 0)].into()), "number 0 was given up for it");
    let striped = on(&["raid0-1.1-slot1"]).unwrap().unwrap();
    assert_eq!((striped.minor_version, striped.level.as_str(), striped.role), (1, "raid0", Role::Place(1)));
}

#[test]
fn a_takeover_shows_in_the_name_of_the_members_it_had() {
    let taken = on(&["raid10-1.2-slot0-taken"]).unwrap().unwrap();
    let left = on(&["raid10-1.2-slot3"]).unwrap().unwrap();
    assert_eq!((taken.set_name.as_str(), taken.events), ("nova-ha.ha1:instances", 2));
    assert_eq!((left.set_name.as_str(), left.events), ("compute1:instances", 0));
    assert_eq!(taken.array, left.array);
}

#[test]
fn of_two_superblocks_on_one_disk_the_array_made_last_counts() {
    let found = on(&["raid1-1.0-rebuilt", "raid10-1.2-slot0"]).unwrap().unwrap();
    assert_eq!(found.level, "raid1", "it was made two seconds later");
}

#[test]
fn a_superblock_with_one_changed_byte_is_damaged_and_not_absent() {
    let (sector, whole) = recorded("raid10-1.2-slot0");
    for at in [8, 20, 40, 72, 160, 200, 217, 224, 260] {
        let mut block = whole.clone();
        block[at] ^= 0x10;
        assert!(parse(&block, 2, sector).is_err(), "byte {at}");
    }
    let mut block = whole.clone();
    block[220..224].copy_from_slice(&4000u32.to_le_bytes());
    assert!(parse(&block, 2, sector).unwrap_err().to_string().contains("too many"));
    assert!(parse(&whole[..300], 2, sector).unwrap_err().to_string().contains("too early"));
    let mut file = disk(&["raid10-1.2-slot0"]);
    file.seek(SeekFrom::Start(8 * SECTOR + 40)).unwrap();
    file.write_all(b"x").unwrap();
    assert!(read(file.path()).unwrap_err().to_string().contains("checksum"));
}

#[test]
fn what_is_no_superblock_is_none_and_what_cannot_be_read_is_an_error() {
    assert_eq!(on(&[]).unwrap(), None);
    let (sector, block) = recorded("raid10-1.2-slot0");
    // A copy at another place: an image of a disk within a file, say.
    assert_eq!(parse(&block, 1, sector + 8).unwrap(), None);
    let mut other = block.clone();
    other[4] = 0;
    assert_eq!(parse(&other, 2, sector).unwrap(), None, "0.90 is not read");
    for length in [0, 100, 5000] {
        let file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(length).unwrap();
        assert_eq!(read(file.path()).unwrap(), None, "{length}");
    }
    assert!(read(Path::new("/nonexistent")).is_err());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..600), len in 0u32..2000) {
        let mut block = recorded("raid10-1.2-slot0").1;
        block.splice(148..148 + bytes.len().min(400), bytes.into_iter().take(400));
        block[220..224].copy_from_slice(&len.to_le_bytes());
        let _any = parse(&block, 2, 8);
    }
}
