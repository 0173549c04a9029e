//! Guests that are held for what their owners had done with them: they hold nobody but themselves.

use std::time::Duration;

use nova_ha::incident::guest::{GuestState, HeldFor};
use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::nova::VmState;
use nova_ha::tree::formats::published::Published;

use super::stage::Stage;
use super::universe::{HA_NODES, HOST, server};

/// The third guest is being rebuilt when its host dies.
pub(crate) fn rebuilt() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = Some("rebuilding".into()));
    stage
}

fn is_held_for(stage: &Stage, cause: Option<HeldFor>) {
    let guests = stage.guests();
    let GuestState::Held { why, cause: found } = &guests["guest3"].state else { panic!("{guests:#?}") };
    assert!(why.contains("it was being rebuilt"), "{why}");
    assert_eq!(*found, cause);
    for name in ["guest1", "guest2"] {
        assert!(matches!(guests[name].state, GuestState::Recovered { .. }), "{guests:#?}");
    }
}

#[test]
fn a_guest_that_is_held_for_its_own_state_holds_nobody_else() {
    let stage = rebuilt();
    let said = stage.recover_until_settled("ha1");
    stage.nothing_was_broken("rebuilt");
    assert_eq!(stage.record().status.state, State::Closed, "{said:?}");
    is_held_for(&stage, Some(HeldFor::OwnState));
    assert!(
        said.iter().any(|text| text.contains("PARTIAL: 1 held, 2 recovered; 1 guest held: guest3")),
        "{said:?}"
    );
    let Some(Event::Closed { summary }) = stage.journal().pop().map(|entry| entry.what) else { panic!() };
    assert!(summary.ends_with("1 guest held: guest3"), "{summary}");
    // The HA node is free for the next host.
    stage.with(|u| {
        let in_use = u.kv.get(&keys::ha_node(&"ha1".parse().unwrap()).in_use()).unwrap();
        assert_eq!(in_use.value, b"False");
        assert_eq!(u.servers[&server(3).id].host.as_ref().unwrap().as_str(), HOST);
    });
}

/// Each act that Nova takes for a guest that runs; his evacuation is not looked at again before it has begun.
#[test]
fn what_an_owner_begins_as_soon_as_his_guest_arrived_holds_no_incident() {
    for task in ["rebuilding", "rebuild_spawning", "resize_prep", "migrating", "shelving", "powering-off"] {
        let stage = Stage::with_dead_host();
        stage.with(|u| u.owner_begins = Some((server(3).id, task)));
        let said = stage.recover_until_settled("ha1");
        stage.nothing_was_broken(task);
        assert_eq!(stage.record().status.state, State::Closed, "{task}: {said:?}");
        let guests = stage.guests();
        assert!(matches!(guests["guest3"].state, GuestState::Recovered { .. }), "{task}: {guests:#?}");
    }
    // One that did not run is not left running, and what its owner does with it holds it alone.
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        u.servers.get_mut(&server(3).id).unwrap().vm_state = VmState::Paused;
        u.owner_begins = Some((server(3).id, "rebuilding"));
    });
    let said = stage.recover_until_settled("ha1");
    stage.nothing_was_broken("rebuilt, was paused");
    assert_eq!(stage.record().status.state, State::Closed, "{said:?}");
    let GuestState::Held { cause, .. } = stage.guests()["guest3"].state else {
        panic!("{:#?}", stage.guests())
    };
    assert_eq!(cause, Some(HeldFor::OwnState));
    // Once it is at rest, it is stopped where it is.
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = None);
    stage.wait(Duration::from_secs(601));
    stage.recover_until_settled("ha1");
    stage.with(|u| assert_eq!(u.servers[&server(3).id].vm_state, VmState::Stopped));
    assert!(matches!(stage.guests()["guest3"].state, GuestState::Recovered { .. }));
    assert_eq!(stage.record().status.state, State::Closed);
}

/// The evacuation of a guest gave up, and its owner has it rebuilt before it is asked for again.
#[test]
fn a_rebuild_after_an_evacuation_that_gave_up_holds_its_guest_alone() {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        u.failing_evacuations = 1;
        u.owner_begins_after_a_failure = Some("rebuilding");
    });
    let said = stage.recover_until_settled("ha1");
    stage.nothing_was_broken("rebuilt after a failure");
    assert_eq!(stage.record().status.state, State::Closed, "{said:?}");
    let held: Vec<GuestState> = stage
        .guests()
        .into_values()
        .map(|g| g.state)
        .filter(|s| matches!(s, GuestState::Held { .. }))
        .collect();
    let [GuestState::Held { why, cause: Some(HeldFor::OwnState) }] = held.as_slice() else {
        panic!("{held:#?}")
    };
    assert!(why.contains("shows no evacuation"), "{why}");
}

#[test]
fn beside_an_older_ha_node_that_does_not_read_why_such_a_guest_holds_its_incident() {
    let stage = rebuilt();
    stage.with(|u| {
        let key = keys::ha_node(&HA_NODES[2].parse().unwrap()).formats();
        let stored = u.kv.get(&key).unwrap();
        let mut published: serde_json::Value = serde_json::from_slice(&stored.value).unwrap();
        published["reads"]["guest"] = 2.into();
        assert!(Published::parse(&key, published.to_string().as_bytes()).is_ok());
        u.kv.put(&key, published.to_string().into_bytes());
    });
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("an older HA node");
    is_held_for(&stage, None);
    assert!(matches!(stage.record().status.state, State::Held { .. }));
}

mod retries;
