//! Guests that are held for what their owners had done with them: they hold nobody but themselves.

use nova_ha::incident::guest::{GuestState, HeldFor};
use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::keys;
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
