use super::*;
use crate::disks::DiskId;
use crate::disks::md_superblock::{Role, Superblock};
use crate::disks::places::{Part, Place};

const ARRAY: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";

fn host() -> HostName {
    "compute1".parse().unwrap()
}

fn published(name: &str, metadata: Option<&str>) -> MdArray {
    MdArray {
        uuid: ARRAY.into(),
        name: name.into(),
        metadata: metadata.map(str::to_owned),
        ..MdArray::default()
    }
}

fn disk(at: usize, name: Option<&str>) -> Sight {
    let superblock = |name: &str| Superblock {
        minor_version: 2,
        array: ARRAY.into(),
        set_name: name.into(),
        device: ARRAY.into(),
        level: "raid10".into(),
        layout: 258,
        raid_disks: 4,
        sectors: 0,
        events: 7,
        role: Role::Place(0),
        number: 0,
        members: [(0, 0)].into(),
        is_clean: true,
        has_bitmap: false,
        is_recovering: false,
        is_reshaping: false,
        created: 0,
        updated: 0,
    };
    Sight {
        place: Place { disk: DiskId::parse(&format!("naa.5000cca04dab000{at}")).unwrap(), part: Part::Whole },
        is_here: name.is_some(),
        superblocks: name.map(superblock).into_iter().collect(),
        unreadable: Vec::new(),
    }
}

fn judged(array: MdArray, disks: &[Option<&str>], is_early: bool) -> Option<Kept> {
    let sights = disks.iter().enumerate().map(|(at, name)| disk(at, *name)).collect();
    storage(&host(), &[(array, Ok(sights))], is_early)
}

fn ours() -> MdArray {
    published("compute1:md1", Some("1.2"))
}

#[test]
fn the_mark_of_an_ha_node_keeps_the_storage_whatever_consul_says() {
    let Some(Kept::Taken { why, next }) =
        judged(ours(), &[Some("compute1:md1"), Some("nova-ha.ha1:md1")], false)
    else {
        panic!("it was let start")
    };
    assert_eq!(why, "the disks say that HA node ha1 has array compute1:md1");
    assert!(next.starts_with("on ha1: nova-ha-recover compute1 --release-storage"), "{next}");
    assert!(next.contains("--override compute1"), "{next}");
}

#[test]
fn the_hosts_own_name_lets_it_start_and_another_hosts_does_not() {
    for name in ["compute1:md1", "compute1:renamed", "md1"] {
        assert_eq!(judged(ours(), &[Some(name); 4], false), None, "{name}");
    }
    let other = judged(ours(), &[Some("compute9:md1"); 4], false);
    assert!(matches!(other, Some(Kept::Taken { why, .. }) if why.contains("compute9:md1")));
    // What never said whose it is says nothing now.
    assert_eq!(judged(published("", None), &[Some("compute9:md1"); 4], false), None);
}

#[test]
fn disks_that_are_not_here_yet_are_waited_for_and_then_one_is_enough() {
    let one_of_two = [Some("compute1:md1"), None];
    let Some(Kept::CannotTell { why, .. }) = judged(ours(), &one_of_two, true) else {
        panic!("it did not wait")
    };
    assert_eq!(why, "array compute1:md1: waiting for 1 of its 2 disks (naa.5000cca04dab0001)");
    assert_eq!(judged(ours(), &one_of_two, false), None);
    for is_early in [true, false] {
        let Some(Kept::CannotTell { why, next }) = judged(ours(), &[None, None], is_early) else {
            panic!("no disk is no answer")
        };
        assert!(why.contains("is not here") && next.contains("--override compute1"), "{why} {next}");
    }
}

#[test]
fn an_array_that_is_gone_or_cannot_be_marked_keeps_nothing() {
    let gone = Sight { is_here: true, ..disk(0, None) };
    assert_eq!(storage(&host(), &[(ours(), Ok(vec![gone]))], false), None);
    for metadata in ["0.90", "external:/md127/0"] {
        assert_eq!(judged(published("", Some(metadata)), &[None], false), None, "{metadata}");
    }
    assert_eq!(storage(&host(), &[], true), None);
}

#[test]
fn one_taken_array_is_said_before_another_that_is_silent() {
    let silent = (ours(), Err("sysfs is away".to_owned()));
    let taken = (published("compute1:md2", Some("1.2")), Ok(vec![disk(0, Some("nova-ha.ha1:md2"))]));
    let said = storage(&host(), &[silent.clone(), taken], false);
    assert!(matches!(said, Some(Kept::Taken { .. })), "{said:?}");
    assert!(matches!(storage(&host(), &[silent], false), Some(Kept::CannotTell { .. })));
}
