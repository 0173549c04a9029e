//! An HA node boots between what it recovered to itself and the end of the incident: its guests do not run any more.

use std::time::Duration;

use nova_ha::attention::Severity;
use nova_ha::incident::guest::{GuestEntry, GuestState};
use nova_ha::incident::guests_seen::{GuestsSeen, NovaSays};
use nova_ha::incident::journal::{Event, HeldCause};
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::monitor::mark::ha_nodes::{HaNodeLine, ha_nodes};
use nova_ha::nova::{PowerState, VmState};
use nova_ha::tree::record::parse;

use super::schedules::weather::Clock;
use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;

impl Stage {
    /// It loses its power for a moment. Nova has not noticed yet.
    fn boots(&self, node: &str) {
        self.with(|u| {
            let now = u.now;
            let number = u.clock(node).booted.map_or(1, |(number, _)| number + 1);
            u.clocks.insert(node.to_owned(), Clock { behind: now, booted: Some((number, now)) });
            let _there_was_none = std::fs::remove_dir_all(u.run_dirs.path().join(node));
        });
    }

    /// Guests that a boot of this HA node stops, by the ledger.
    fn run_on(&self, node: &str) -> Vec<String> {
        let there = GuestState::Recovered { to: node.into() };
        let runs = |guest: &&GuestEntry| guest.state == there && !guest.must_stop();
        self.guests().values().filter(runs).map(|guest| guest.name.clone()).collect()
    }

    #[track_caller]
    fn is_held_for(&self, guests: &[String], what: &str) {
        let State::Held { reason } = self.record().status.state else {
            panic!("{what}: {guests:?} may be down, and it is not held: {:#?}", self.journal())
        };
        assert!(reason.contains("booted since, or was dead for a while"), "{what}: {reason}");
        for guest in guests {
            assert!(reason.contains(&format!("{guest} (")), "{what}: {reason}");
        }
        let last = self.journal().pop().unwrap();
        assert!(
            matches!(last.what, Event::Held { cause: Some(HeldCause::GuestsMayBeDown), .. }),
            "{what}: {last:?}"
        );
    }
}

fn calls() -> Vec<String> {
    let stage = Stage::with_dead_host();
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    process.calls()
}

/// The call that would close it.
fn closing() -> usize {
    let calls = calls();
    let is_too_late = |at: &usize| {
        let stage = Stage::with_dead_host();
        let _died = block_on(&stage.time, stage.process("ha1", Some((*at, Fault::DiesBefore))).run());
        stage.record().status.state == State::Closed
    };
    (0..calls.len()).rev().find(|at| !is_too_late(at)).unwrap()
}

#[test]
fn what_ran_on_an_ha_node_before_its_boot_is_looked_at_by_a_person_before_it_is_called_recovered() {
    let mut were_down = 0;
    for (at, name) in calls().iter().enumerate() {
        let what = format!("ha1 boots at call {at} ({name})");
        let stage = Stage::with_dead_host();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        if stage.record().status.state == State::Closed {
            continue;
        }
        let down = stage.run_on("ha1");
        stage.boots("ha1");
        stage.with(|u| {
            // Of the first Nova knows.
            let first = u.servers.values_mut().find(|server| Some(&server.name) == down.first());
            first.into_iter().for_each(|server| server.power_state = PowerState::Shutdown);
        });
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
        stage.nothing_was_broken(&what);
        if down.is_empty() {
            stage.all_is_recovered(&what);
            continue;
        }
        were_down += 1;
        stage.is_held_for(&down, &what);
        stage.resume();
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&format!("{what}; a person looked"));
    }
    assert!(were_down > 3, "{were_down}");
}

#[test]
fn a_look_counts_for_one_boot() {
    let (closing, mut taken_before) = (closing(), 0);
    for at in 0..60 {
        let stage = Stage::with_dead_host();
        let _died = block_on(&stage.time, stage.process("ha1", Some((closing, Fault::DiesBefore))).run());
        let down = stage.run_on("ha1");
        assert!(!down.is_empty() && stage.record().status.state == State::Active);
        stage.boots("ha1");
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
        stage.is_held_for(&down, "booted");
        stage.resume();
        // It boots once more before it has closed it, at this call.
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesBefore))).run());
        if stage.record().status.state == State::Closed {
            break;
        }
        let is_taken = matches!(stage.journal().pop().unwrap().what, Event::Adopted { .. });
        stage.boots("ha1");
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
        taken_before += usize::from(is_taken);
        match is_taken {
            true => stage.is_held_for(&down, "booted once more"),
            false => stage.all_is_recovered("the word is for whoever takes it first"),
        }
    }
    assert!(taken_before > 0, "it never died after it had taken it");
}

#[test]
fn an_adopter_does_not_believe_that_guests_survived_the_death_of_their_ha_node() {
    let stage = Stage::with_dead_host();
    let closing = closing();
    let _died = block_on(&stage.time, stage.process("ha1", Some((closing, Fault::DiesBefore))).run());
    let down = stage.run_on("ha1");
    stage.with(|u| {
        u.dies("ha1");
        let machine = u.machines.get_mut("ha1").unwrap();
        (machine.power_on, machine.bmc) = (false, true);
    });
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha2");
    assert!(stage.is_held_for_guests_on("ha1"), "{:#?}", stage.journal());
    stage.boots("ha1");
    stage.with(|u| {
        u.machines.get_mut("ha1").unwrap().power_on = true;
        u.returns("ha1");
    });
    stage.resume();
    stage.recover_until_settled("ha2");
    stage.is_held_for(&down, "it is up, and nobody looked");
    stage.resume();
    stage.recover_until_settled("ha2");
    stage.nothing_was_broken("a person looked");
    assert_eq!(stage.record().status.state, State::Closed, "{:#?}", stage.journal());
}

#[test]
fn an_ha_node_that_dies_with_what_was_recovered_to_it_is_said_with_their_names_until_the_reset() {
    let stage = Stage::with_dead_host();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("recovered to ha1");
    let said = || -> Vec<HaNodeLine> {
        let world = stage.process("ha2", None).world();
        block_on(&stage.time, ha_nodes(&world.witness())).unwrap()
    };
    assert_eq!(said(), [], "it lives");
    stage.with(|u| u.dies("ha1"));
    stage.wait(Duration::from_secs(60));
    let lines = said();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.ha_node.as_str(), line.severity), ("ha1", Severity::Critical), "{line:?}");
    for name in stage.guests().keys() {
        assert!(line.because.contains(name), "{name}: {line:?}");
    }
    assert!(line.next.iter().any(|next| next == "nova-ha incident show compute1@0"), "{line:?}");
    stage.wait(Duration::from_secs(60));
    assert_eq!(said(), lines, "the text of an unchanged state is the same");
    // Its host is reset: whoever did that has seen to them.
    stage.with(|u| u.kv.put(&keys::host(&super::universe::HOST.parse().unwrap()).epoch(), "1"));
    assert_eq!(said(), []);
}

#[test]
fn what_nova_says_otherwise_of_guests_on_an_ha_node_is_noted_and_ends_the_alarm_for_those_that_left() {
    let stage = Stage::with_dead_host();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("recovered to ha1");
    let note = || {
        let entry = stage.with(|u| u.kv.get(&keys::incident(&super::universe::incident()).guests_seen()));
        entry.map(|entry| parse::<GuestsSeen>(&entry.key, &entry.value).unwrap().differs)
    };
    let looks = |node: &str| {
        let process = stage.process(node, None);
        block_on(&stage.time, process.run()).unwrap().unwrap();
        process.calls().iter().filter(|name| *name == "servers").count()
    };
    assert_eq!(looks("ha2"), 1, "of the one HA node with guests");
    assert_eq!(note(), None, "Nova says what the ledger says");
    assert_eq!(looks("ha2"), 0, "not in every run");
    let running = stage.run_on("ha1");
    let [stopped, moved] = &running[..] else { panic!("{running:?}") };
    stage.with(|u| {
        for server in u.servers.values_mut() {
            if server.name == *stopped {
                server.vm_state = VmState::Stopped;
            } else if server.name == *moved {
                server.host = Some("ha3".parse().unwrap());
            }
        }
    });
    stage.wait(Duration::from_secs(11 * 60));
    assert_eq!(looks("ha2"), 1);
    let differs = note().unwrap();
    let says = |name: &String| differs.iter().find(|d| d.name == *name).map(|d| d.nova.clone());
    assert_eq!(says(moved), Some(NovaSays::Elsewhere { host: Some("ha3".into()) }), "{differs:?}");
    assert_eq!(says(stopped), Some(NovaSays::NotActive { vm_state: "stopped".into() }), "{differs:?}");
    assert_eq!(differs.len(), 2, "{differs:?}");
    stage.with(|u| u.dies("ha1"));
    stage.wait(Duration::from_secs(60));
    let world = stage.process("ha2", None).world();
    let lines = block_on(&stage.time, ha_nodes(&world.witness())).unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.because.contains(stopped) && !line.because.contains(moved), "{line:?}");
}
