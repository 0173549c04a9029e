//! Incidents that a check opened, in keys of their own, and what an HA node makes of them.

use std::time::Duration;

use nova_ha::incident::lead::{Lead, Word};
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::recovery::report::Result as Ending;
use nova_ha::tree::record::bytes;

use super::stage::{Stage, say};
use super::time::wall;
use super::universe::{HOST, incident};

const MINUTE: Duration = Duration::from_secs(60);

fn below_incident(stage: &Stage) -> Vec<String> {
    let below = stage.with(|u| u.kv.below(&keys::incident(&incident()).all()));
    below.into_iter().map(|entry| entry.key).collect()
}

fn is_shot(stage: &Stage) -> bool {
    stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("off")))
}

#[test]
fn what_a_check_opens_stands_apart_until_an_ha_node_takes_it_up() {
    let stage = Stage::with_dead_host();
    let of = keys::incident(&incident());
    assert_eq!(below_incident(&stage), Vec::<String>::new());
    assert!(stage.with(|u| u.kv.get(&of.opened())).is_some());
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("opened apart");
    assert!(stage.with(|u| u.kv.get(&of.opened())).is_none());
    assert!(stage.with(|u| u.kv.get(&of.evidence())).is_some());
}

#[test]
fn what_is_opened_again_by_its_key_is_no_second_incident() {
    let stage = Stage::with_dead_host();
    let of = keys::incident(&incident());
    let opened = stage.with(|u| u.kv.get(&of.opened())).unwrap();
    stage.recover_until_settled("ha1");
    let (record, journal) = (stage.record(), stage.journal());
    stage.with(|u| u.kv.put(&of.opened(), opened.value));
    stage.recover("ha2");
    assert_eq!((stage.record(), stage.journal()), (record, journal));
    assert!(stage.with(|u| u.kv.get(&of.opened())).is_none());
    stage.all_is_recovered("opened twice");
}

#[test]
fn an_opening_that_somebody_forged_shoots_no_host_that_is_well() {
    let stage = Stage::with_dead_host();
    // As whoever has a check's token: the flag, and what a dead host was opened by.
    stage.with(|u| u.returns(HOST));
    stage.wait(MINUTE);
    let said = stage.recover("ha1");
    assert!(!is_shot(&stage), "{:?}", said.iter().map(|report| &report.text).collect::<Vec<_>>());
    stage.nothing_was_broken("forged");
}

#[test]
fn an_opening_that_cannot_be_understood_is_named_and_left_for_a_person() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.kv.put(&keys::incident(&incident()).opened(), "{"));
    let [report] = &stage.recover("ha1")[..] else { panic!("one line") };
    assert_eq!(report.result, Ending::Unreadable, "{}", report.text);
    assert!(!is_shot(&stage) && below_incident(&stage).is_empty());
}

#[test]
fn a_word_to_go_on_counts_for_its_time_and_a_hold_for_good() {
    let stage = Stage::with_dead_host();
    stage.with(|u| say(u, Lead::Hold { reason: "look".into() }));
    stage.wait(MINUTE * 60);
    stage.recover("ha1");
    let held = State::Held { reason: "look (by maria)".into() };
    assert_eq!(stage.record().status.state, held);
    let of = keys::incident(&incident());
    stage.with(|u| {
        let at = wall(u.now - MINUTE * 20);
        let word = Word::new(incident(), "maria".into(), at, Lead::Resume { gone: None });
        u.kv.put(&of.resume(), bytes(&word));
    });
    stage.recover("ha1");
    assert_eq!(stage.record().status.state, held);
    assert!(!is_shot(&stage));
    stage.resume();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("led out of the hold");
}

#[test]
fn while_an_older_ha_node_is_configured_a_check_opens_the_incident_itself() {
    let stage = Stage::with_votes();
    stage.with(|u| u.kv.remove(&keys::ha_node(&"ha3".parse().unwrap()).formats()));
    let world = stage.process("ha1", None).world();
    let (lines, judged) = stage.mark(&world);
    judged.unwrap();
    assert!(stage.is_marked(), "{lines:?}");
    assert_eq!(below_incident(&stage).len(), 2);
    assert!(stage.with(|u| u.kv.get(&keys::incident(&incident()).opened())).is_none());
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("as before");
}
