//! A machine that held an incident says that it is through with it: when it is, and never for another.

use std::time::Duration;

use nova_ha::incident::journal::Event;
use nova_ha::incident::through::{Holding, Through, awaited, holdings};
use nova_ha::keys;
use nova_ha::recovery::through;
use nova_ha::tree::record::parse;

use super::seams::{Fault, machine_id};
use super::stage::Stage;
use super::time::block_on;
use super::universe::incident;

fn said(stage: &Stage) -> std::collections::BTreeMap<nova_ha::names::HaNodeName, Through> {
    let prefix = keys::incident(&incident()).all_gone();
    let entries = stage.with(|u| u.kv.below(&prefix));
    let of = |entry: &nova_ha::store::Entry| {
        let node = entry.key.strip_prefix(&prefix).unwrap().parse().unwrap();
        (node, parse(&entry.key, &entry.value).unwrap())
    };
    entries.iter().map(of).collect()
}

fn left(stage: &Stage) -> Vec<Holding> {
    awaited(holdings(&stage.journal()).unwrap(), &said(stage))
}

fn names(stage: &Stage) -> Vec<String> {
    left(stage).iter().map(|held| held.node.to_string()).collect()
}

#[test]
fn whoever_closes_an_incident_says_in_the_same_run_that_it_is_through() {
    let stage = Stage::with_dead_host();
    stage.recover_until_settled("ha1");
    assert_eq!(said(&stage)[&"ha1".parse().unwrap()].machine, machine_id("ha1"));
    assert!(left(&stage).is_empty());
}

#[test]
fn an_earlier_holder_is_waited_for_until_a_run_of_it_has_had_the_file_lock() {
    let stage = Stage::with_dead_host();
    let first = stage.process("ha1", Some((super::seams::FIRST_EVACUATE, Fault::DiesBefore)));
    assert!(block_on(&stage.time, first.run()).is_none(), "it died");
    stage.with(|u| {
        u.dies("ha1");
        u.machines.get_mut("ha1").unwrap().power_on = false;
    });
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha2");
    assert_eq!(names(&stage), ["ha1"], "what it had begun it may still do");
    stage.with(|u| {
        u.machines.get_mut("ha1").unwrap().power_on = true;
        u.returns("ha1");
    });
    let again = stage.process("ha1", None);
    block_on(&stage.time, again.run()).unwrap().unwrap();
    assert!(left(&stage).is_empty(), "{:?}", said(&stage));
}

#[test]
fn one_that_works_on_another_incident_says_it_meanwhile_and_one_that_never_held_it_says_nothing() {
    let stage = Stage::with_dead_host();
    stage.recover_until_settled("ha1");
    stage.with(|u| u.kv.remove(&keys::incident(&incident()).gone(&"ha1".parse().unwrap())));
    let (ha1, ha3) = (stage.process("ha1", None), stage.process("ha3", None));
    block_on(&stage.time, async {
        through::say(&ha3.world(), None).await;
        assert!(said(&stage).is_empty());
        let other = "compute2@0".parse().unwrap();
        let world = ha1.world();
        tokio::select! {
            never = nova_ha::recovery::note::behind(&world, &other) => match never {},
            () = stage.time.sleep(Duration::from_secs(8)) => {}
        }
    });
    assert!(left(&stage).is_empty(), "{:?}", said(&stage));
}

#[test]
fn nothing_is_said_of_one_that_goes_on_and_nothing_twice() {
    let stage = Stage::with_dead_host();
    let first = stage.process("ha1", Some((super::seams::FIRST_EVACUATE, Fault::DiesBefore)));
    assert!(block_on(&stage.time, first.run()).is_none(), "it died");
    let process = stage.process("ha1", None);
    block_on(&stage.time, through::say(&process.world(), None));
    assert!(said(&stage).is_empty(), "it is open");
    stage.recover_until_settled("ha1");
    let key = keys::incident(&incident()).gone(&"ha1".parse().unwrap());
    let index = stage.with(|u| u.kv.modify_index(&key));
    block_on(&stage.time, through::say(&stage.process("ha1", None).world(), None));
    assert_eq!(stage.with(|u| u.kv.modify_index(&key)), index, "each sweep would wake whoever watches");
}

/// A person ends it while a command to its BMC is on the way: a host that is given back then would be shot in service.
#[test]
fn nothing_is_said_of_the_incident_at_work_although_a_person_has_ended_it() {
    let stage = Stage::with_dead_host();
    let first = stage.process("ha1", Some((super::seams::FIRST_EVACUATE, Fault::DiesBefore)));
    assert!(block_on(&stage.time, first.run()).is_none(), "it died");
    stage.with(|u| super::stage::append(u, Event::Abandoned { by: "ann".into() }));
    let process = stage.process("ha1", None);
    block_on(&stage.time, async {
        let world = process.world();
        let at_work = incident();
        tokio::select! {
            never = nova_ha::recovery::note::behind(&world, &at_work) => match never {},
            () = stage.time.sleep(Duration::from_secs(20)) => {}
        }
    });
    assert!(said(&stage).is_empty());
    block_on(&stage.time, process.run()).unwrap().unwrap();
    assert!(left(&stage).is_empty(), "that work is over");
}
