//! Tables: one look, and what follows from it.

use std::sync::LazyLock;

use super::*;
use crate::disks::md::State;
use crate::disks::md_superblock::Superblock;
use crate::disks::places::Sight;
use crate::recovery::storage::md::example::{NAME, UUID, host, published, running, sights, superblock};
use crate::recovery::storage::md::wanted;

mod filesystems;

const OURS: &str = "nova-ha.ha1:md1";
const AT: &str = "/instances";

fn wanted() -> Wanted {
    wanted::wanted(&host(), AT.as_ref()).unwrap()
}

fn default() -> &'static Policy {
    static DEFAULT: LazyLock<Policy> = LazyLock::new(Policy::default);
    &DEFAULT
}

fn ground() -> Ground<'static> {
    Ground {
        me: "ha1",
        begun: false,
        earlier: BTreeSet::new(),
        looked_at: BTreeSet::new(),
        allow_degraded: true,
        policy: default(),
        bound_filesystems: Some(BTreeSet::new()),
        reserved: BTreeSet::new(),
        cut_by_hand: false,
        members_seen: const { &MembersSeen::new() },
    }
}

fn begun() -> Ground<'static> {
    Ground { begun: true, ..ground() }
}

fn looked_at() -> Ground<'static> {
    Ground { looked_at: BTreeSet::from([UUID.to_owned()]), ..begun() }
}

fn named(name: &str) -> Vec<Sight> {
    let member = |slot| Some(Superblock { set_name: name.into(), ..superblock(slot) });
    sights(&(0..4).map(member).collect::<Vec<_>>())
}

/// Its members here, and nothing of it assembled.
fn apart(name: &str) -> Seen {
    Seen {
        sights: vec![named(name)],
        mountpoints: vec![Mountpoint::Directory { guests: 0 }],
        ..Seen::default()
    }
}

fn over(uuid: &str, fs_type: &str) -> Over {
    Over {
        device: "md127".into(),
        number: "9:127".into(),
        fs_type: fs_type.into(),
        uuid: uuid.into(),
        is_the_array_again: false,
    }
}

/// With this name on its members it is assembled.
fn assembled(name: &str, state: State) -> Seen {
    Seen { running: vec![running(state, vec![over("fs0", "xfs")])], ..apart(name) }
}

fn mount(device: &str, at: &str, options: &str) -> Mount {
    Mount {
        device: device.into(),
        root: "/".into(),
        mountpoint: at.into(),
        options: options.split(',').map(str::to_owned).collect(),
        fs_type: "xfs".into(),
        source: format!("/dev/{device}"),
        super_options: vec![],
    }
}

fn mounted(at: &str, options: &str) -> Seen {
    Seen { mounts: vec![mount("9:127", at, options)], ..assembled(OURS, State::Running) }
}

/// What follows, in one word and its text.
fn said(seen: &Seen, ground: &Ground<'_>) -> String {
    match decide(&wanted(), seen, ground) {
        Next::Say(answer) => answer.text(),
        Next::Do { act: Act::Assemble(order), .. } => match order.how {
            How::ReadOnly => "look".into(),
            How::Named(name) => format!("assemble as {name}"),
        },
        Next::Do { act: Act::Stop { device, .. }, .. } => format!("stop {device}"),
        Next::Do { act: Act::Mount { device, fs_type, at }, .. } => {
            format!("mount {fs_type} {device} at {}", at.display())
        }
    }
}

#[test]
fn from_the_hosts_disks_to_its_guests_one_thing_after_the_other() {
    for (name, seen, ground, expected) in [
        ("before the claim", apart(NAME), ground(), "look"),
        ("nothing is done", apart(NAME), begun(), "look"),
        ("it was assembled to look at", assembled(NAME, State::ReadOnly), begun(), "stop md127"),
        ("it was looked at", apart(NAME), looked_at(), "assemble as nova-ha.ha1:md1"),
        ("its name was written", apart(OURS), begun(), "assemble as nova-ha.ha1:md1"),
        ("killed while it was assembled", assembled(OURS, State::Inactive), begun(), "stop md127"),
        ("killed while it was looked at", assembled(NAME, State::Inactive), begun(), "stop md127"),
        ("assembled to give it back", assembled(OURS, State::ReadOnly), begun(), "stop md127"),
        ("assembled", assembled(OURS, State::Running), begun(), "mount xfs md127 at /instances"),
        ("mounted", mounted(AT, "rw"), begun(), "taken: array compute1:md1"),
        ("after a boot", apart(OURS), begun(), "assemble as nova-ha.ha1:md1"),
    ] {
        let found = said(&seen, &ground);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
}

#[test]
fn what_is_on_the_disks_says_whose_it_is() {
    let earlier = |node: &str| Ground { earlier: BTreeSet::from([node.to_owned()]), ..begun() };
    for (name, seen, ground, expected) in [
        ("another HA node's", apart("nova-ha.ha2:md1"), begun(), "not as published: the disks"),
        ("one that held it before", apart("nova-ha.ha2:md1"), earlier("ha2"), "look"),
        ("ours, and nobody knows", apart(OURS), ground(), "not as published: the disks"),
        (
            "ours by the journal alone",
            apart(OURS),
            Ground { begun: false, ..earlier("ha1") },
            "not as published: the disks",
        ),
        ("another host's", apart("compute9:md1"), begun(), "not as published: the disks"),
        ("renamed by its host", apart("compute1:md0"), begun(), "look"),
    ] {
        let found = said(&seen, &ground);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
    let mut other = apart(NAME);
    for sight in &mut other.sights[0] {
        sight.superblocks[0].array = "another".into();
    }
    assert!(said(&other, &begun()).contains("no members of it any more"), "the wrong array of one name");
    let gone = Seen { sights: vec![sights(&[None, None, None, None])], ..apart(NAME) };
    assert!(said(&gone, &begun()).starts_with("refused: "), "its disks may come");
    let mut mixed = apart(NAME);
    mixed.sights[0][2].superblocks[0].set_name = OURS.into();
    assert_eq!(said(&mixed, &begun()), "assemble as nova-ha.ha1:md1", "killed between two members");
}

#[test]
fn a_host_that_was_an_ha_node_keeps_its_own_mark() {
    let mut config = host();
    let array = config.md_arrays.get_mut(UUID).unwrap();
    array["name"] = "nova-ha.compute1:md1".into();
    let wanted = wanted::wanted(&config, AT.as_ref()).unwrap();
    for (on_disk, expected) in [("nova-ha.compute1:md1", true), ("nova-ha.ha2:md1", false)] {
        let next = decide(&wanted, &apart(on_disk), &begun());
        assert_eq!(matches!(next, Next::Do { act: Act::Assemble(_), .. }), expected, "{on_disk}: {next:?}");
    }
}

#[test]
fn what_somebody_else_assembled_or_mounted_is_left_alone() {
    let twice = {
        let mut seen = assembled(OURS, State::Running);
        seen.running.push(seen.running[0].clone());
        seen
    };
    let stranger = Seen { strangers: vec![("sdx".into(), UUID.into())], ..apart(NAME) };
    let elsewhere = Seen { strangers: vec![("sdx".into(), "another".into())], ..apart(NAME) };
    let unread = Seen { unread: vec![("md5".into(), "suspended".into())], ..apart(NAME) };
    let looked_mounted =
        Seen { mounts: vec![mount("9:127", "/mnt", "ro")], ..assembled(NAME, State::ReadOnly) };
    for (name, seen, ground, expected) in [
        ("runs", assembled(NAME, State::Running), begun(), "not as published: md127 is"),
        ("does not run", assembled(NAME, State::Inactive), ground(), "not as published: md127 is"),
        ("is read-only", assembled(NAME, State::ReadOnly), ground(), "not as published: md127 is"),
        ("is read-only and mounted", looked_mounted, begun(), "not as published: md127 is"),
        ("is broken", assembled(OURS, State::Broken), begun(), "not as published: md127 is"),
        ("twice", twice, begun(), "not as published: array"),
        ("a clone", stranger, begun(), "not as published: sdx"),
        ("a clone of another", elsewhere, begun(), "look"),
        ("nobody can tell", unread, begun(), "cannot tell: md5"),
        (
            "mounted elsewhere",
            mounted("/mnt", "rw"),
            begun(),
            "not as published: filesystem fs0 is mounted at /mnt",
        ),
        (
            "mounted read-only",
            mounted(AT, "ro"),
            begun(),
            "not as published: filesystem fs0 is mounted read-only",
        ),
    ] {
        let found = said(&seen, &ground);
        assert!(found.starts_with(expected), "{name}: {found}");
    }
}

#[test]
fn nothing_is_mounted_over_what_is_not_its_own() {
    let with = |mounts: &[(&str, &str)], at: Mountpoint| Seen {
        mounts: mounts.iter().map(|(device, at)| mount(device, at, "rw")).collect(),
        mountpoints: vec![at],
        ..assembled(OURS, State::Running)
    };
    let free = || Mountpoint::Directory { guests: 0 };
    for (name, seen, expected) in [
        ("free", with(&[("8:1", "/")], free()), "mount xfs"),
        ("a neighbour", with(&[("8:1", "/instances2")], free()), "mount xfs"),
        ("a foreign filesystem", with(&[("8:1", AT)], free()), "not as published: another filesystem"),
        ("one beneath", with(&[("8:1", "/instances/x")], free()), "not as published: another filesystem"),
        ("mounted over", with(&[("9:127", AT), ("8:1", AT)], free()), "not as published: filesystem fs0 is"),
        ("its own guests", with(&[], Mountpoint::Directory { guests: 2 }), "not as published: 2 guests"),
        ("nothing there", with(&[], Mountpoint::Absent), "refused: /instances is not there"),
        ("a link", with(&[], Mountpoint::NoDirectory), "refused: /instances is no directory"),
        (
            "beyond a link",
            with(&[], Mountpoint::Elsewhere("/srv/instances".into())),
            "refused: /instances is really /srv/instances",
        ),
    ] {
        let found = said(&seen, &begun());
        assert!(found.starts_with(expected), "{name}: {found}");
        // It is known before the host is shot.
        let early = Seen { running: vec![], ..seen };
        let early = Seen { sights: vec![named(NAME)], ..early };
        let early = said(&early, &ground());
        assert_eq!(early == "look", expected.starts_with("mount"), "{name}, early: {early}");
    }
}

#[test]
fn the_filesystem_must_be_the_published_one() {
    let with = |over: Vec<Over>| Seen { running: vec![running(State::Running, over)], ..apart(OURS) };
    for (name, seen, expected) in [
        (
            "another",
            with(vec![over("fs9", "xfs")]),
            "not as published: filesystem fs0 is not on md127; there is: xfs fs9",
        ),
        ("none", with(vec![]), "not as published: filesystem fs0 is not on md127; there is: none"),
        (
            "another type",
            with(vec![over("fs0", "ext4")]),
            "not as published: filesystem fs0 was published as xfs",
        ),
        (
            "twice",
            with(vec![over("fs0", "xfs"), over("fs0", "xfs")]),
            "not as published: filesystem fs0 is on md127 twice",
        ),
    ] {
        let found = said(&seen, &begun());
        assert!(found.starts_with(expected), "{name}: {found}");
    }
    let again = Over {
        device: "md127p1".into(),
        number: "259:1".into(),
        is_the_array_again: true,
        ..over("fs0", "xfs")
    };
    let with_it = with(vec![over("fs0", "xfs"), again.clone()]);
    assert_eq!(said(&with_it, &begun()), "mount xfs md127 at /instances");
    let used = Seen { mounts: vec![mount("259:1", "/mnt", "rw")], ..with_it };
    let used = Seen { running: vec![running(State::ReadOnly, vec![over("fs0", "xfs"), again])], ..used };
    assert!(
        said(&used, &begun()).contains("is mounted"),
        "it is in use all the same: {}",
        said(&used, &begun())
    );
    let silent = Seen {
        running: vec![Running { over: Err("no answer".into()), ..running(State::Running, vec![]) }],
        ..apart(OURS)
    };
    assert!(said(&silent, &begun()).starts_with("cannot tell: what is on md127"));
    let good = running(State::ReadOnly, vec![over("fs0", "xfs")]);
    assert_eq!(has_its_filesystems(&wanted(), &good), Ok(()));
    assert!(has_its_filesystems(&wanted(), &running(State::ReadOnly, vec![over("fs9", "xfs")])).is_err());
}

#[test]
fn a_degraded_array_is_taken_where_the_policy_says_so() {
    let mut seen = apart(NAME);
    seen.sights = vec![sights(&[Some(superblock(0)), None, Some(superblock(2)), Some(superblock(3))])];
    let Next::Do { act: Act::Assemble(order), detail } = decide(&wanted(), &seen, &ground()) else {
        panic!("not taken")
    };
    assert!(
        order.start == Start::Degraded && order.members.len() == 3 && detail.contains("DEGRADED, 1 of 4"),
        "{detail}"
    );
    let strict = Ground { allow_degraded: false, ..ground() };
    assert!(said(&seen, &strict).starts_with("refused: "), "{}", said(&seen, &strict));
    // A disk that fails after it was taken changes nothing.
    let lost = Seen { sights: vec![named(OURS)], ..mounted(AT, "rw") };
    let mut lost = lost;
    lost.sights[0].remove(1);
    let strict = Ground { allow_degraded: false, ..begun() };
    assert!(said(&lost, &strict).starts_with("taken: "), "{}", said(&lost, &strict));
    seen.sights = vec![sights(&[Some(superblock(0)), Some(superblock(1)), None, None])];
    assert!(said(&seen, &ground()).contains("too many for raid10"));
}

#[test]
fn that_its_host_writes_is_said_before_all_that_follows_from_it() {
    let seen_first = as_left::members(&wanted(), &apart(NAME));
    let ground = |allow_degraded| Ground { members_seen: &seen_first, allow_degraded, ..begun() };
    assert_eq!(said(&apart(NAME), &ground(true)), "look", "nothing was written");
    // Of four members the last ones were refused to the host, which wrote to the others.
    for (level, layout, refused) in [("raid10", 258, 1), ("raid10", 258, 2), ("raid5", 2, 1), ("raid6", 2, 3)]
    {
        let mut wanted = wanted();
        let published = &mut wanted.arrays[0].published;
        (published.level, published.layout) = (level.into(), Some(layout));
        let member = |slot: usize| {
            let events = if slot < 4 - refused { 9 } else { 7 };
            Some(Superblock { events, level: level.into(), layout, ..superblock(slot) })
        };
        let members: Vec<_> = (0..4).map(member).collect();
        let seen = Seen { sights: vec![sights(&members)], ..apart(NAME) };
        for allow_degraded in [true, false] {
            let next = decide(&wanted, &seen, &ground(allow_degraded));
            assert!(matches!(&next, Next::Say(Answer::HostLives { .. })), "{level}, {refused}: {next:?}");
        }
    }
}

#[test]
fn of_several_filesystems_each_waits_for_the_one_that_it_is_in() {
    let config = published(Some("/srv/nova"), &["/srv/nova", "/srv/nova/big"]);
    let wanted = wanted::wanted(&config, AT.as_ref()).unwrap();
    let inner = Over { device: "md127p2".into(), number: "259:2".into(), ..over("fs1", "xfs") };
    let base = Seen {
        running: vec![running(State::Running, vec![over("fs0", "xfs"), inner])],
        mountpoints: vec![Mountpoint::Directory { guests: 0 }, Mountpoint::Absent],
        ..apart(OURS)
    };
    let next = |seen: &Seen| match decide(&wanted, seen, &begun()) {
        Next::Do { act: Act::Mount { device, at, .. }, .. } => format!("{device} {}", at.display()),
        other => format!("{other:?}"),
    };
    assert_eq!(next(&base), "md127 /instances");
    let outer = mount("9:127", AT, "rw");
    let half = Seen { mounts: vec![outer.clone()], ..base.clone() };
    assert!(next(&half).contains("/instances/big is not there"), "{}", next(&half));
    let ready = Seen {
        mountpoints: vec![Mountpoint::Directory { guests: 3 }, Mountpoint::Directory { guests: 0 }],
        ..half
    };
    assert_eq!(next(&ready), "md127p2 /instances/big");
    let both = Seen { mounts: vec![outer, mount("259:2", "/instances/big", "rw")], ..ready };
    assert!(next(&both).contains("Taken"), "{}", next(&both));
}

const SECOND: &str = "11111111:22222222:33333333:44444444";

/// A host with a second array, on disks of its own, which holds what is beneath the first one's filesystem.
fn two_arrays() -> Wanted {
    let mut config = published(None, &["/var/lib/nova/instances", "/var/lib/nova/instances/big"]);
    let mut second = config.md_arrays[UUID].clone();
    second["uuid"] = SECOND.into();
    second["name"] = "compute1:md2".into();
    for (slot, member) in second["members"].as_array_mut().unwrap().iter_mut().enumerate() {
        member["disk"] = format!("naa.5000cca04dab100{slot}").into();
    }
    config.md_arrays.insert(SECOND.into(), second);
    config.filesystems[1].array = SECOND.into();
    wanted::wanted(&config, AT.as_ref()).unwrap()
}

/// What a takeover does, act by act, on a machine that does what it is told; `fs1` is what the second array has.
fn two_arrays_are_taken(fs1: &str) -> Vec<String> {
    let wanted = two_arrays();
    let name_of =
        |uuid: &str| wanted.arrays.iter().find(|a| a.uuid() == uuid).unwrap().published.name.clone();
    let members = |uuid: &str, name: &str| {
        let member = |slot| Superblock { array: uuid.into(), set_name: name.into(), ..superblock(slot) };
        sights(&(0..4).map(|slot| Some(member(slot))).collect::<Vec<_>>())
    };
    let number = |uuid: &str| if uuid == UUID { "9:127" } else { "9:126" };
    let mut seen = Seen {
        sights: wanted.arrays.iter().map(|a| members(a.uuid(), &name_of(a.uuid()))).collect(),
        mountpoints: vec![Mountpoint::Directory { guests: 0 }; 2],
        ..Seen::default()
    };
    let (mut ground, mut trace) = (begun(), Vec::new());
    for _ in 0..20 {
        let act = match decide(&wanted, &seen, &ground) {
            Next::Say(answer) => {
                trace.push(answer.text().chars().take(24).collect());
                break;
            }
            Next::Do { act, .. } => act,
        };
        match act {
            Act::Assemble(order) => {
                let (uuid, fs) = (order.uuid.as_str(), if order.uuid == UUID { "fs0" } else { fs1 });
                let is_look = order.how == How::ReadOnly;
                trace.push(format!("{} {}", if is_look { "look" } else { "take" }, name_of(uuid)));
                let over =
                    Over { number: number(uuid).into(), device: number(uuid).into(), ..over(fs, "xfs") };
                let mut array = running(if is_look { State::ReadOnly } else { State::Running }, vec![over]);
                array.array.uuid = Some(uuid.into());
                array.array.number = number(uuid).into();
                array.array.device = number(uuid).into();
                seen.running.push(array);
                if let How::Named(name) = &order.how {
                    let at = wanted.arrays.iter().position(|a| a.uuid() == uuid).unwrap();
                    seen.sights[at] = members(uuid, name);
                }
            }
            Act::Stop { uuid, .. } => {
                let looked = seen.running.iter().find(|r| r.array.uuid.as_deref() == Some(&*uuid)).unwrap();
                let good = has_its_filesystems(&wanted, looked);
                seen.running.retain(|r| r.array.uuid.as_deref() != Some(&*uuid));
                if let Err(answer) = good {
                    trace.push(answer.text().chars().take(24).collect());
                    break;
                }
                ground.looked_at.insert(uuid);
            }
            Act::Mount { device, at, .. } => {
                trace.push(format!("mount {device} {}", at.display()));
                seen.mounts.push(mount(&device, at.to_str().unwrap(), "rw"));
            }
        }
    }
    trace
}

#[test]
fn of_several_arrays_all_are_looked_at_before_the_first_is_taken() {
    assert_eq!(
        two_arrays_are_taken("fs1"),
        [
            "look compute1:md1",
            "look compute1:md2",
            "take compute1:md1",
            "take compute1:md2",
            "mount 9:127 /instances",
            "mount 9:126 /instances/big",
            "taken: array compute1:md"
        ]
    );
    let wrong = two_arrays_are_taken("fs9");
    let expected = ["look compute1:md1", "look compute1:md2", "not as published: filesy"];
    assert_eq!(wrong, expected, "nothing is written to either");
}

#[test]
fn a_look_that_is_not_whole_says_nothing() {
    let none = Seen { sights: vec![], ..apart(NAME) };
    assert!(said(&none, &begun()).starts_with("cannot tell: "));
    let nowhere = Seen { mountpoints: vec![], ..assembled(OURS, State::Running) };
    assert!(said(&nowhere, &begun()).starts_with("cannot tell: nobody looked"));
}
