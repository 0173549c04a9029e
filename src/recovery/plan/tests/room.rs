//! Whether there is room for the guests.

use super::*;

fn crowded(rooms: Result<Vec<Room>, String>, capacity_blocks: bool) -> Facts {
    let facts = with_nova(|nova| {
        let flavor = Flavor { vcpus: 1, ..Flavor::default() };
        let sized = |name| Server { flavor: flavor.clone(), ..guest(name, "active") };
        nova.servers = vec![sized("a"), guest("odd", "suspended"), sized("b"), sized("c")];
        nova.rooms = rooms;
    });
    Facts { capacity_blocks, ..facts }
}

#[test]
fn a_lack_of_room_is_said_and_blocks_only_where_the_policy_says_so() {
    let away = || Err("placement does not answer".to_owned());
    let source = || Ok(vec![room("compute1", 64)]);
    for (name, rooms, blocks, expected) in [
        ("enough", Ok(vec![room("compute2", 3)]), true, Some("has room for all 3")),
        ("for two", Ok(vec![room("compute2", 2)]), false, Some("has room for 2, and none for 1: c")),
        ("for two, and all are wanted", Ok(vec![room("compute2", 2)]), true, None),
        (
            "the dead host's own room is none",
            source(),
            false,
            Some("has room for 0, and none for 3: a, b, c"),
        ),
        ("placement away", away(), false, Some("cannot tell: placement does not answer")),
        ("placement away is no lack of room", away(), true, Some("cannot tell: placement does not answer")),
    ] {
        match (plan(&crowded(rooms, blocks)), expected) {
            (Ok(plan), Some(expected)) => {
                assert!(plan.capacity.contains(expected), "{name}: {}", plan.capacity);
                assert!(plan.text().contains(expected), "{name}");
                assert_eq!(plan.guests[1].room, None, "{name}: the suspended one");
                let waits = plan.text().matches("NO ROOM").count();
                let waiting = plan.guests.iter().filter(|g| g.room == Some(Fit::Waits)).count();
                assert_eq!(waits, waiting, "{name}");
            }
            (Err(blockers), None) => {
                assert!(blockers[0].reason.contains("none for 1: c"), "{name}: {blockers:#?}");
                assert!(blockers[0].next.contains("capacity_blocks"), "{name}: {blockers:#?}");
            }
            (plan, _) => panic!("{name}: {plan:#?}"),
        }
    }
}

#[test]
fn the_most_urgent_find_their_room_first_and_a_reset_guest_needs_room_too() {
    let mut facts = crowded(Ok(vec![room("compute2", 2)]), false);
    if let Ok(nova) = &mut facts.nova {
        nova.servers[1] = Server { vm_state: VmState::Paused, ..nova.servers[1].clone() };
        nova.servers[1].flavor.vcpus = 1;
        nova.servers[3].flavor.extra_specs.insert("instanceha:restart_priority".into(), "900".into());
    }
    let plan = plan(&facts).unwrap();
    assert!(plan.capacity.contains("has room for 2, and none for 2: odd, b"), "{}", plan.capacity);
}

#[test]
fn only_the_targets_own_room_counts() {
    let facts = |rooms| {
        let mut facts = crowded(Ok(rooms), false);
        if let Ok(nova) = &mut facts.nova {
            nova.targets = named(&[("ha1", Some(service("ha1")))]);
        }
        plan(&facts).unwrap().capacity
    };
    assert!(facts(vec![room("ha1", 1), room("ha2", 9)]).contains("room on ha1 for 1, and none for 2: b, c"));
    assert!(facts(vec![room("ha2", 9)]).contains("room on ha1 for 0"));
}
