//! On a recorded machine. What mdadm really does is seen on machines with real disks, in the lab.

use super::*;
use crate::disks::DiskId;
use crate::disks::places::Part;
use crate::disks::recorded_machine::Machine;
use crate::recovery::arrays::{Mountpoint, Scope};

const RAID10: &str = include_str!("../../../tests/data/disks/raid10-sas.txt");
const UUID: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";
const LONG: Duration = Duration::from_secs(20);

fn local(machine: &Machine) -> LocalArrays {
    LocalArrays::at(machine.roots.clone())
}

#[tokio::test]
async fn one_look_sees_disks_arrays_mounts_and_places() {
    let machine = Machine::of(RAID10);
    machine.superblock("sda", "raid10-1.2-slot0");
    machine.superblock("sdb", "raid10-1.2-slot0");
    machine.device("md1", 0);
    let superblock = crate::disks::md_superblock::read(&machine.roots.node("sda")).unwrap().unwrap();
    let place = Place { disk: DiskId::parse("naa.5000cca04dab0000").unwrap(), part: Part::Whole };
    let folder = tempfile::tempdir().unwrap();
    let question = Question {
        arrays: vec![(superblock.array.clone(), BTreeSet::from([place]))],
        mountpoints: vec![folder.path().to_owned(), folder.path().join("absent")],
        scope: Scope::All,
        within: LONG,
    };
    let seen = local(&machine).look(&question).await.unwrap();
    assert_eq!((seen.sights.len(), &seen.sights[0][0].superblocks), (1, &vec![superblock.clone()]));
    assert_eq!(seen.strangers, [("sdb".to_owned(), superblock.array)]);
    assert_eq!((seen.running.len(), seen.running[0].array.uuid.as_deref()), (1, Some(UUID)));
    let narrow = Question { scope: Scope::Members, ..question };
    assert!(local(&machine).look(&narrow).await.unwrap().strangers.is_empty());
    assert!(seen.unread.is_empty() && seen.mounts.iter().any(|mount| mount.device == "9:1"));
    assert_eq!(seen.mountpoints, [Mountpoint::Directory { guests: 0 }, Mountpoint::Absent]);
}

#[tokio::test]
async fn only_the_array_that_is_meant_is_stopped_and_only_unmounted() {
    let machine = Machine::of(RAID10);
    let local = local(&machine);
    let stop = |device: &'static str, uuid: &'static str| local.stop(device, uuid, LONG);
    let why = stop("md1", "3741bab8:56c4a887:2f15d6a6:a98a082a").await.unwrap_err();
    assert!(why.contains("another array"), "{why}");
    let why = stop("md1", UUID).await.unwrap_err();
    assert!(why.contains("mounted at /var/lib/nova/instances"), "{why}");
    assert_eq!(stop("md7", UUID).await, Ok(()), "what is not there is stopped");
    machine.set("/sys/block/md1/md/array_state = unheard-of\n");
    assert!(stop("md1", UUID).await.unwrap_err().contains("cannot be read"));
}

#[tokio::test]
async fn nothing_is_run_for_members_that_are_not_all_here() {
    let machine = Machine::of(RAID10);
    let place = Place { disk: DiskId::parse("naa.5000cca04dab00ff").unwrap(), part: Part::Whole };
    let why = local(&machine).rename(UUID, &BTreeSet::from([place]), "compute1:md1", LONG).await;
    assert_eq!(why, Err("naa.5000cca04dab00ff is not here".into()));
}
