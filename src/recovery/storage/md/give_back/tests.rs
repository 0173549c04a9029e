//! Tables: one look, and what is to be done next on the way back.

use super::*;
use crate::disks::md::{Array, State};
use crate::disks::md_superblock::Superblock;
use crate::disks::running::Over;
use crate::recovery::storage::md::example::{NAME, UUID, host, sights, superblock};
use crate::recovery::storage::md::wanted;

const OURS: &str = "nova-ha.ha1:md1";

fn wanted() -> Wanted {
    wanted::wanted(&host(), "/instances".as_ref()).unwrap()
}

fn apart(name: &str) -> Seen {
    let member = |slot| Some(Superblock { set_name: name.into(), ..superblock(slot) });
    Seen { sights: vec![sights(&(0..4).map(member).collect::<Vec<_>>())], ..Seen::default() }
}

fn assembled(name: &str, state: State) -> Seen {
    let array = Array {
        device: "md127".into(),
        number: "9:127".into(),
        state,
        uuid: Some(UUID.into()),
        name: None,
        level: "raid10".into(),
        raid_disks: 4,
        layout: None,
        metadata: "1.2".into(),
        degraded: 0,
        reshaping: false,
        members: vec![],
    };
    let over = Over {
        device: "md127".into(),
        number: "9:127".into(),
        fs_type: "xfs".into(),
        uuid: "fs0".into(),
        is_the_array_again: false,
    };
    Seen { running: vec![Running { array, over: Ok(vec![over]) }], ..apart(name) }
}

fn mounted(at: &[&str]) -> Seen {
    let mount = |at: &&str| Mount {
        device: "9:127".into(),
        root: "/".into(),
        mountpoint: (*at).to_owned(),
        options: vec!["rw".into()],
        fs_type: "xfs".into(),
        source: "/dev/md127".into(),
        super_options: vec![],
    };
    Seen { mounts: at.iter().map(mount).collect(), ..assembled(OURS, State::Running) }
}

fn said(seen: &Seen, begun: bool) -> String {
    match next(&wanted(), seen, "ha1", begun) {
        Err(answer) => answer.text(),
        Ok(None) => "done".into(),
        Ok(Some(Act::Unmount { at })) => format!("unmount {}", at.display()),
        Ok(Some(Act::Stop { device, .. })) => format!("stop {device}"),
        Ok(Some(Act::Rename { members, name, .. })) => format!("name {} members {name}", members.len()),
    }
}

#[test]
fn from_the_guests_to_the_hosts_disks_one_thing_after_the_other() {
    for (name, seen, expected) in [
        ("mounted", mounted(&["/instances"]), "unmount /instances"),
        ("unmounted", assembled(OURS, State::Running), "stop md127"),
        ("stopped", apart(OURS), "name 4 members compute1:md1"),
        ("named", assembled(NAME, State::ReadOnly), "stop md127"),
        ("killed in the middle", assembled(OURS, State::Inactive), "stop md127"),
        ("given back", apart(NAME), "done"),
        ("taken by another one since", apart("nova-ha.ha2:md1"), "done"),
    ] {
        assert_eq!(said(&seen, true), expected, "{name}");
    }
    let mut half = apart(NAME);
    half.sights[0][1].superblocks[0].set_name = OURS.into();
    assert_eq!(said(&half, true), "name 4 members compute1:md1", "killed between two members");
}

#[test]
fn what_is_not_its_own_is_left_alone() {
    for (name, seen, begun, expected) in [
        (
            "another's mark, and it runs here",
            assembled("nova-ha.ha2:md1", State::Running),
            true,
            "not as published: md127 is compute1:md1 and runs here",
        ),
        ("another host's", apart("compute9:md1"), true, "not as published: the disks"),
        ("somebody else's assembly", assembled(NAME, State::Running), false, "not as published: md127 is"),
        (
            "mounted elsewhere too",
            mounted(&["/mnt"]),
            true,
            "not as published: compute1:md1 is mounted at /mnt",
        ),
    ] {
        let found = said(&seen, begun);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
    let other = Seen { sights: apart("nova-ha.ha2:md1").sights, ..mounted(&["/instances"]) };
    assert!(said(&other, true).contains("HA node ha2 has it"), "nor is it unmounted: {}", said(&other, true));
    let added = |seen| Seen { strangers: vec![("sdx".into(), UUID.into())], ..seen };
    assert!(said(&added(apart(OURS)), true).contains("sdx says"), "it would keep the name of this HA node");
    assert_eq!(said(&added(apart(NAME)), true), "done", "a person named all of them");
    let mut away = apart(NAME);
    away.sights = vec![sights(&[None, None, None, None])];
    assert!(said(&away, true).starts_with("cannot tell: "), "{}", said(&away, true));
    let unread = Seen { unread: vec![("md5".into(), "x".into())], ..apart(OURS) };
    assert!(said(&unread, true).starts_with("cannot tell: "));
}
