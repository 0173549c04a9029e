use super::*;
use crate::disks::recorded_machine::Machine;

const RAID10: &str = include_str!("../../../tests/data/disks/raid10-sas.txt");
const UUID: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";
/// The array of the recorded superblocks.
const RECORDED: &str = "d39ac4e4:a56fab61:d4af28db:9db625d6";

fn on(machine: &Machine, published: &RuntimeConfig) -> Found {
    collect(&machine.roots, &"compute1".parse().unwrap(), published, Some("/var/lib/nova/instances"))
}

fn with(change: &str) -> Found {
    on(&Machine::of(&format!("{RAID10}{change}\n")), &RuntimeConfig::default())
}

fn published(found: &Found) -> RuntimeConfig {
    RuntimeConfig {
        md_arrays: found
            .arrays
            .iter()
            .map(|(uuid, array)| (uuid.clone(), serde_json::to_value(array).unwrap()))
            .collect(),
        filesystems: found.filesystems.clone(),
        ..RuntimeConfig::default()
    }
}

#[test]
fn an_array_is_described_for_a_takeover_and_for_the_original() {
    let found = with("");
    let array = &found.arrays[UUID];
    assert_eq!(
        (array.name.as_str(), array.level.as_str(), array.places()),
        ("compute1:md1", "raid10", Some(4))
    );
    assert_eq!(
        (array.state.as_str(), array.metadata.as_deref(), array.layout),
        ("clean", Some("1.2"), Some(258))
    );
    assert_eq!(array.members.len(), 4);
    assert_eq!(
        array.members[1],
        Member {
            disk: "naa.5000cca04dab0001".into(),
            partition: None,
            kind: "scsi".into(),
            slot: Some(1),
            in_sync: true
        }
    );
    assert_eq!(array.devices["35000cca04dab0001"].uuid, "35000cca04dab0001");
    assert_eq!(
        found.filesystems,
        [Filesystem {
            uuid: "b74093a0-8a58-4938-9a65-e42ff579694c".into(),
            fs_type: "xfs".into(),
            mountpoint: "/var/lib/nova/instances".into(),
            array: UUID.into()
        }]
    );
    assert!(found.unread.is_empty() && found.has_arrays, "{:?}", found.unread);
}

#[test]
fn members_on_nvme_on_a_partition_and_on_a_multipath_map_are_named_as_themselves() {
    let array = "/sys/block/md1/md/array_state = clean\n/sys/block/md1/md/degraded = 0\n/sys/block/md1/md/layout = 258\n\
        /sys/block/md1/md/level = raid10\n/sys/block/md1/md/metadata_version = 1.2\n/sys/block/md1/md/raid_disks = 3\n\
        /sys/block/md1/md/sync_action = idle\n/sys/block/md1/md/uuid = b3a88330-384e-dff1-0c12-6dedb8d8ca93\n\
        /sys/block/md1/md/dev-nvme0n1p3/slot = 0\n/sys/block/md1/md/dev-nvme0n1p3/state = in_sync\n\
        /sys/block/md1/md/dev-sda2/slot = 1\n/sys/block/md1/md/dev-sda2/state = in_sync\n\
        /sys/block/md1/md/dev-dm-1/slot = 2\n/sys/block/md1/md/dev-dm-1/state = in_sync\n\
        /sys/block/md1/dev = 9:1\n/proc/self/mountinfo = 22 1 0:20 / / rw - overlay overlay rw\n";
    let kinds = include_str!("../../../tests/data/disks/kinds.txt");
    let found = on(&Machine::of(&format!("{kinds}{array}")), &RuntimeConfig::default());
    let members = &found
        .arrays
        .get("b3a88330:384edff1:0c126ded:b8d8ca93")
        .unwrap_or_else(|| panic!("{found:#?}"))
        .members;
    let named: Vec<_> =
        members.iter().map(|m| (m.disk.as_str(), m.partition, m.kind.as_str(), m.slot)).collect();
    assert_eq!(
        named,
        [
            ("eui.0025385b71b00d21", Some(3), "nvme", Some(0)),
            ("naa.5000cca04dab0000", Some(2), "scsi", Some(1)),
            ("naa.60014050000abd150000000000000000", Some(1), "multipath", Some(2)),
        ]
    );
}

#[test]
fn states_that_come_and_go_change_nothing_and_a_lost_member_does() {
    let clean = with("");
    for state in ["active", "active-idle", "write-pending", "read-auto"] {
        assert_eq!(with(&format!("/sys/block/md1/md/array_state = {state}")), clean, "{state}");
    }
    for syncing in ["/sys/block/md1/md/sync_action = resync", "/sys/block/md1/md/sync_completed = 7 / 90"] {
        assert_eq!(with(syncing), clean, "{syncing}");
    }
    let degraded = with("/sys/block/md1/md/degraded = 1\n/sys/block/md1/md/dev-sdd/state = spare");
    assert!(degraded.arrays[UUID].degraded == 1 && !degraded.arrays[UUID].members[3].in_sync);
    assert!(degraded.unread.is_empty(), "a degraded array is not unread");
}

#[test]
fn one_bad_thing_is_named_and_hides_nothing_else() {
    for (change, said) in [
        ("/sys/block/md9/md/array_state = suspended", "md9: array_state says"),
        ("/sys/block/md9/md/array_state = inactive\n/sys/block/md9/dev = 9:9", "md9: nobody says its UUID"),
        ("/proc/self/mountinfo = nonsense", "mount table"),
    ] {
        let found = with(change);
        assert!(found.unread.iter().any(|why| why.contains(said)), "{change}: {:?}", found.unread);
        assert!(found.arrays.contains_key(UUID));
    }
    // A disk that nobody can name elsewhere: the array is published in part only where nothing better is.
    let found = with("/sys/block/sdd/device/wwid = naa.0000000000000000\n/run/udev/data/b8:48 = E:X=1");
    assert!(found.unread[0].contains("sdd of md1"), "{:?}", found.unread);
    assert_eq!((found.arrays.len(), found.partial[UUID].members.len()), (0, 3));
    for state in ["inactive", "broken"] {
        let found = with(&format!("/sys/block/md1/md/array_state = {state}"));
        assert!(found.arrays.is_empty() && found.unread[0].contains("does not work"), "{:?}", found.unread);
    }
}

#[test]
fn disks_of_one_name_are_said_and_not_published_by_it() {
    let two = RAID10.replace("naa.5000cca04dab0001", "naa.5000cca04dab0000");
    let found = on(&Machine::of(&two), &RuntimeConfig::default());
    assert_eq!(
        found.unread,
        ["sda and sdb have one world-wide name, naa.5000cca04dab0000: no takeover goes by it"]
    );
    let array = &found.partial[UUID];
    let disks: Vec<&str> = array.members.iter().map(|member| member.disk.as_str()).collect();
    assert_eq!(disks, ["naa.5000cca04dab0002", "naa.5000cca04dab0003"]);
    assert!(array.devices.len() == 2 && found.arrays.is_empty());
}

#[test]
fn a_mark_is_never_published_as_the_arrays_name() {
    let machine = Machine::of(RAID10);
    let before = published(&on(&machine, &RuntimeConfig::default()));
    machine.set(&RAID10.replace("MD_NAME=compute1:md1", "MD_NAME=nova-ha.ha1:md1"));
    let found = on(&machine, &before);
    assert_eq!(found.arrays[UUID].name, "compute1:md1");
    assert!(found.unread[0].contains("HA node ha1 has it"), "{:?}", found.unread);
    assert_eq!(on(&machine, &RuntimeConfig::default()).arrays[UUID].name, "");
}

/// The recorded machine with its array stopped, and that array published as its disks have it.
fn stopped() -> (Machine, RuntimeConfig) {
    let machine = Machine::of(RAID10);
    let mut before = published(&on(&machine, &RuntimeConfig::default()));
    let mut value = before.md_arrays.remove(UUID).unwrap();
    value["uuid"] = RECORDED.into();
    before.md_arrays.insert(RECORDED.into(), value);
    machine.set("/sys/block/md1/md/array_state = clear");
    (machine, before)
}

#[test]
fn an_array_that_does_not_run_is_gone_only_when_all_its_disks_say_so() {
    let (machine, before) = stopped();
    let said = |found: &Found| found.unread.join("; ");
    let found = on(&machine, &before);
    assert!(found.gone.is_empty(), "no disk can be read");
    assert!(said(&found).contains("--forget-array d39ac4e4"), "{}", said(&found));
    for disk in ["sda", "sdb", "sdc"] {
        machine.device(disk, 24 << 20);
    }
    assert!(on(&machine, &before).gone.is_empty(), "one disk cannot be read");
    machine.superblock("sdd", "raid10-1.2-slot3");
    assert!(on(&machine, &before).gone.is_empty(), "its member is there");
    machine.device("sdd", 24 << 20);
    let found = on(&machine, &before);
    assert_eq!((found.gone, found.unread.len()), (BTreeSet::from([RECORDED.to_owned()]), 0));
}

#[test]
fn a_filesystem_is_unmade_only_when_its_array_runs_without_it() {
    let machine = Machine::of(RAID10);
    let before = published(&on(&machine, &RuntimeConfig::default()));
    let uuid = before.filesystems[0].uuid.clone();
    // Unmounted for a moment.
    machine.set("/proc/self/mountinfo = 22 1 0:20 / / rw - overlay overlay rw");
    let found = on(&machine, &before);
    assert!(found.filesystems.is_empty() && found.unmade.is_empty());
    machine.set(&RAID10.replace(&uuid, "11111111-8a58-4938-9a65-e42ff579694c"));
    assert_eq!(on(&machine, &before).unmade, BTreeSet::from([uuid]));
    machine.set("/sys/block/md1/md/array_state = inactive");
    assert!(on(&machine, &before).unmade.is_empty());
}

#[test]
fn of_two_mounts_the_one_with_the_guests_is_published() {
    let found = with(
        "/proc/self/mountinfo = 36 22 9:1 / /mnt rw - xfs /dev/md1 rw\\n37 22 9:1 / /var/lib/nova rw - xfs /dev/md1 rw",
    );
    assert_eq!(found.filesystems[0].mountpoint, "/var/lib/nova");
}
