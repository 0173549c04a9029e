//! Each invariant can be broken: a fault that is planted in the middle of a run breaks it, and is found there.

use std::time::Duration;

use nova_ha::incident::IncidentRecord;
use nova_ha::incident::journal::{Event as Entry, JournalEntry};
use nova_ha::keys;
use nova_ha::tree::record::{bytes, parse};

use super::super::universe::{HOST, Universe, incident, server};
use super::event::{Schedule, Storage};
use super::invariants::Invariant;
use super::run::{Outcome, Planted, run};

/// Before anybody judged, and while the guests are evacuated.
const EARLY: Duration = Duration::from_secs(5);
const LATER: Duration = Duration::from_secs(70);

fn breaks(invariant: Invariant, at: Duration, plant: fn(&mut Universe)) {
    is_broken(invariant, &Planted { at, plant, nobody_recovers: false });
}

fn is_broken(invariant: Invariant, planted: &Planted) {
    let schedule = Schedule { storage: Storage::Shared, scheduled: false, seed: 1, events: Vec::new() };
    assert!(matches!(run(&schedule, None).outcome, Outcome::Clean(_)), "without it nothing is broken");
    match run(&schedule, Some(planted)).outcome {
        Outcome::Broken(violation) => assert_eq!(violation.invariant, invariant, "{violation:?}"),
        other => panic!("{invariant:?} cannot be broken: {other:?}"),
    }
}

fn record(u: &mut Universe) -> IncidentRecord {
    let key = keys::incident(&incident()).incident();
    parse(&key, &u.kv.get(&key).unwrap().value).unwrap()
}

#[test]
fn a_shot_without_a_quorum_is_found() {
    breaks(Invariant::Shot, EARLY, |u| u.switch_off("ha3", "compute2"));
}

#[test]
fn an_effect_of_an_ha_node_that_did_not_read_off_is_found() {
    breaks(Invariant::FreshOff, LATER, |u| drop(u.reset_to_error("nobody", &server(1).id)));
}

#[test]
fn an_evacuation_of_a_guest_of_another_host_is_found() {
    breaks(Invariant::OnlyOfTheDead, EARLY, |u| {
        u.machines.get_mut(HOST).unwrap().power_on = false;
        u.power_is_read("ha3", HOST);
        u.servers.get_mut(&server(1).id).unwrap().host = Some("compute2".parse().unwrap());
        u.services.get_mut("compute2").unwrap().forced_down = true;
        let _answer = u.evacuate("ha3", &server(1).id, Some("ha3"), None);
    });
}

#[test]
fn a_second_claim_is_found() {
    breaks(Invariant::OneClaim, LATER, |u| {
        let mut record = record(u);
        record.head += 1;
        let keys = keys::incident(&incident());
        let first = u.kv.get(&keys.journal_entry(1)).unwrap();
        let first: JournalEntry = parse(&first.key, &first.value).unwrap();
        assert!(matches!(first.what, Entry::Claimed { .. }));
        let entry = JournalEntry { sequence: record.head, ..first };
        u.kv.put(&keys.journal_entry(entry.sequence), bytes(&entry));
        u.kv.put(&keys.incident(), bytes(&record));
    });
}

#[test]
fn a_second_evacuation_in_flight_is_found() {
    breaks(Invariant::OneEvacuation, LATER, |u| {
        let mut twin = u.migrations.last().unwrap().clone();
        twin.0.status = nova_ha::nova::MigrationStatus::Accepted;
        twin.1 = u.now + Duration::from_secs(60);
        u.migrations.extend([twin.clone(), twin]);
    });
}

#[test]
fn a_guest_on_two_machines_is_found() {
    breaks(Invariant::OneMachine, EARLY, |u| u.guest_starts(&server(1).id, "ha2"));
}

#[test]
fn a_flag_that_goes_back_by_itself_is_found() {
    breaks(Invariant::Flags, LATER, |u| {
        u.kv.put(&keys::host(&HOST.parse().unwrap()).failed(), "False");
    });
}

#[test]
fn a_record_that_is_not_the_fold_of_its_journal_is_found() {
    breaks(Invariant::Fold, LATER, |u| {
        let mut record = record(u);
        record.status.past_no_return = !record.status.past_no_return;
        u.kv.put(&keys::incident(&incident()).incident(), bytes(&record));
    });
}

#[test]
fn a_broken_rule_of_the_machines_is_found() {
    breaks(Invariant::World, EARLY, |u| assert!(u.stop("ha3", &server(1).id).is_ok()));
}

#[test]
fn an_incident_that_nobody_works_on_is_found() {
    is_broken(Invariant::Progress, &Planted { at: EARLY, plant: |_| {}, nobody_recovers: true });
}
