//! A host with one RAID10 of four disks, for the tests of this folder.

use std::collections::BTreeMap;

use super::wanted::{WantedArray, wanted};
use crate::disks::DiskId;
use crate::disks::md::{Array, State};
use crate::disks::md_superblock::{Role, Superblock};
use crate::disks::places::{Part, Place, Sight};
use crate::disks::running::{Over, Running};
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::runtime_config::arrays::{Filesystem, MdArray, Member};

pub(crate) const UUID: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";
pub(crate) const NAME: &str = "compute1:md1";

fn disk(slot: usize) -> String {
    format!("naa.5000cca04dab000{slot}")
}

/// What a host published that has these mounts, all of one array.
pub(crate) fn published(instances: Option<&str>, mounts: &[&str]) -> RuntimeConfig {
    let member = |slot: usize| Member {
        disk: disk(slot),
        partition: None,
        kind: "scsi".into(),
        slot: u32::try_from(slot).ok(),
        in_sync: true,
    };
    let array = MdArray {
        uuid: UUID.into(),
        name: NAME.into(),
        level: "raid10".into(),
        num_devices: "4".into(),
        state: "clean".into(),
        members: (0..4).map(member).collect(),
        layout: Some(258),
        metadata: Some("1.2".into()),
        ..MdArray::default()
    };
    let filesystem = |(number, mountpoint): (usize, &&str)| Filesystem {
        uuid: format!("fs{number}"),
        fs_type: "xfs".into(),
        mountpoint: (*mountpoint).to_owned(),
        array: UUID.into(),
    };
    RuntimeConfig {
        version: 1,
        md_arrays: BTreeMap::from([(UUID.to_owned(), serde_json::to_value(array).unwrap())]),
        filesystems: mounts.iter().enumerate().map(filesystem).collect(),
        instances_path: instances.map(str::to_owned),
        boot_guard: Some(true),
        ..RuntimeConfig::default()
    }
}

/// With its guests where Nova has them by default.
pub(crate) fn host() -> RuntimeConfig {
    published(None, &["/var/lib/nova/instances"])
}

/// Its array.
pub(crate) fn array() -> WantedArray {
    wanted(&host(), "/instances".as_ref()).unwrap().arrays.remove(0)
}

/// What a good member says.
pub(crate) fn superblock(slot: usize) -> Superblock {
    Superblock {
        minor_version: 2,
        array: UUID.into(),
        set_name: NAME.into(),
        device: format!("0:0:0:{slot}"),
        level: "raid10".into(),
        layout: 258,
        raid_disks: 4,
        sectors: 0,
        events: 7,
        role: Role::Place(u16::try_from(slot).unwrap()),
        number: u32::try_from(slot).unwrap(),
        members: (0..4).map(|slot| (u32::from(slot), slot)).collect(),
        is_clean: true,
        has_bitmap: false,
        is_recovering: false,
        is_reshaping: false,
        created: 0,
        updated: 0,
    }
}

/// The array where it is assembled.
pub(crate) fn running(state: State, over: Vec<Over>) -> Running {
    let array = Array {
        device: "md127".into(),
        number: "9:127".into(),
        state,
        uuid: Some(UUID.into()),
        name: Some(NAME.into()),
        level: "raid10".into(),
        raid_disks: 4,
        layout: Some(258),
        metadata: "1.2".into(),
        degraded: 0,
        reshaping: false,
        members: vec![],
    };
    Running { array, over: Ok(over) }
}

/// Its disks in order; `None`: the disk is not here.
pub(crate) fn sights(found: &[Option<Superblock>]) -> Vec<Sight> {
    let sight = |(slot, found): (usize, &Option<Superblock>)| Sight {
        place: Place { disk: DiskId::parse(&disk(slot)).unwrap(), part: Part::Whole },
        is_here: found.is_some(),
        superblocks: found.iter().cloned().collect(),
        unreadable: Vec::new(),
    };
    found.iter().enumerate().map(sight).collect()
}
