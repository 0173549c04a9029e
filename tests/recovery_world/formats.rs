//! Two builds on one tree: this one and 7763f26, the last that published no formats. Each reads, refuses or waits for
//! what the other wrote, and neither shoots or loses an incident.
//!
//! `tests/data/7763f26` has trees that the simulated world of that commit left (`record.sh` makes them anew);
//! `reader_7763f26` has that build's reading rules.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nova_ha::incident::Status;
use nova_ha::incident::journal::{Event, HeldCause};
use nova_ha::incident::status::State;
use nova_ha::incident::step::Step;
use nova_ha::keys;
use nova_ha::recovery::history::History;
use nova_ha::tree::storage::{Strategy, StrategyName};

use super::md::{all_runs_on, staged};
use super::reader_7763f26::{Read, Understood, read, understood};
use super::reservations::Writes;
use super::seams::{FIRST_EVACUATE, Fault};
use super::stage::Stage;
use super::time::block_on;
use super::universe::incident;

const RECORDED: [&str; 11] = [
    "opened",
    "ordered",
    "before_the_shot",
    "evacuating",
    "closed",
    "a_person_quoted_it",
    "md_host_lives",
    "md_host_lives_resumed",
    "md_taking",
    "md_adopted",
    "exec_closed",
];

type Tree = BTreeMap<String, String>;

fn recorded(name: &str) -> Tree {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/7763f26/{name}.json"));
    serde_json::from_str(&std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{name}: {why}")))
        .unwrap()
}

/// All but the observers' records: a timetable writes them here, not the product's probe, which asks in which version
/// (`monitor::probe`).
fn all_of(stage: &Stage) -> Tree {
    let entries = stage.with(|u| u.kv.below("ha_cluster/")).into_iter();
    let ours = entries.filter(|entry| !entry.key.contains("/internal/observers/"));
    ours.map(|entry| (entry.key, String::from_utf8(entry.value).unwrap())).collect()
}

/// The incident, and the flags of the machines, as that build left them; the world itself is as this test staged it.
fn instead(stage: &Stage, tree: &Tree) {
    let id = keys::incident(&incident());
    let is_of_it = |key: &str| {
        key.starts_with(&id.all()) || key.contains("/status/") || key.ends_with("/internal/in_use_by")
    };
    stage.with(|u| {
        for entry in u.kv.below("ha_cluster/") {
            if is_of_it(&entry.key) {
                u.kv.remove(&entry.key);
            }
        }
        for (key, value) in tree.iter().filter(|(key, _)| is_of_it(key)) {
            u.kv.put(key, value.clone());
        }
    });
}

/// ha3 runs 7763f26: it published nothing.
fn with_an_old_ha_node(stage: Stage) -> Stage {
    stage.with(|u| u.kv.remove(&keys::ha_node(&"ha3".parse().unwrap()).formats()));
    stage
}

fn dies_at(stage: &Stage, name: &str, fault: Fault) {
    let at = match name {
        "the first evacuate" => FIRST_EVACUATE,
        _ => {
            let other = if stage.with(|u| u.array.is_some()) { staged() } else { Stage::with_dead_host() };
            let process = other.process("ha1", None);
            let _reports = block_on(&other.time, process.run());
            process.calls().iter().position(|call| call == name).unwrap()
        }
    };
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
}

fn lives() -> Stage {
    let stage = staged();
    stage.with(|u| {
        let reservation = &mut u.the_array().reservation;
        (reservation.living, reservation.unknown) = (Some(Writes::Unrefused), true);
    });
    stage
}

fn history(stage: &Stage) -> History {
    let world = stage.process("ha1", None).world();
    block_on(&stage.time, History::read(&world, &incident())).unwrap()
}

/// What 7763f26 understands of the journal, and what it cannot read of the whole tree.
fn read_by_7763f26(tree: &Tree) -> Vec<(String, Read)> {
    let read = tree.iter().map(|(key, value)| (key.clone(), read(key, value.as_bytes())));
    read.filter(|(_, read)| !matches!(read, Read::Yes | Read::NoRecord)).collect()
}

fn understood_by_7763f26(tree: &Tree) -> Understood {
    let journal = keys::incident(&incident()).journal();
    understood(tree.iter().filter(|(key, _)| key.starts_with(&journal)).map(|(_, value)| value.as_bytes()))
}

#[test]
fn the_copied_rules_take_all_that_7763f26_itself_wrote_and_nothing_newer_or_unknown() {
    for name in RECORDED.iter().chain(&["others"]) {
        let tree = recorded(name);
        assert_eq!(read_by_7763f26(&tree), [], "{name}");
        let records = tree.iter().filter(|(key, value)| read(key, value.as_bytes()) == Read::Yes);
        assert!(records.count() >= 5, "{name}");
        for (key, value) in tree.iter().filter(|(key, value)| read(key, value.as_bytes()) == Read::Yes) {
            let newer = value.replacen("\"version\":1", "\"version\":2,\"news\":1", 1);
            assert_eq!(read(key, newer.as_bytes()), Read::Newer, "{name}: {key}");
            let unknown = value.replacen("\"version\":1", "\"version\":1,\"news\":1", 1);
            // 7763f26 forgot it for an entry of the journal; the event itself is strict.
            let is_entry = key.contains("/journal/");
            let refused = matches!(read(key, unknown.as_bytes()), Read::Broken(_));
            assert_eq!(refused, !is_entry, "{name}: {key}");
        }
    }
}

#[test]
fn this_build_reads_every_journal_of_7763f26_and_understands_the_same_by_it() {
    for name in RECORDED {
        let tree = recorded(name);
        let stage = Stage::with_dead_host();
        instead(&stage, &tree);
        let journal = stage.journal();
        assert_eq!(Status::replay(&journal).unwrap(), stage.record().status, "{name}");
        let ours = history(&stage);
        let theirs = understood_by_7763f26(&tree);
        let quoted = name == "a_person_quoted_it";
        assert_eq!(theirs.cut_by_hand, quoted || name == "md_host_lives_resumed", "{name}: the recording");
        // The one thing that is meant to differ: a person's text is no cause.
        assert_eq!(ours.disks.cut_by_hand, theirs.cut_by_hand && !quoted, "{name}");
        let me = "ha1".parse().unwrap();
        let exec = Strategy::Exec { program: "/take".into(), args: Vec::new() };
        for own in [Strategy::Shared, Strategy::Md, exec] {
            let same = theirs.strategies.iter().all(|word| word.as_deref() == Some(own.word()));
            let said = ours.same_strategy(&incident(), &me, &own);
            assert_eq!(said.is_ok(), same, "{name}: {} {said:?}", own.word());
        }
    }
}

#[test]
fn an_incident_that_7763f26_began_is_ended_by_this_build_wherever_it_was() {
    for (name, at, fault) in [
        ("opened", None, Fault::DiesBefore),
        ("ordered", None, Fault::DiesBefore),
        ("before_the_shot", Some("switch off"), Fault::DiesBefore),
        ("a_person_quoted_it", Some("switch off"), Fault::DiesBefore),
        ("evacuating", Some("the first evacuate"), Fault::DiesAfter),
    ] {
        let stage = Stage::with_dead_host();
        if let Some(at) = at {
            dies_at(&stage, at, fault);
        }
        instead(&stage, &recorded(name));
        stage.wait(Duration::from_secs(1));
        let said = stage.recover_until_settled("ha1");
        stage.all_is_recovered(&format!("{name}: {said:?}"));
    }
}

#[test]
fn a_takeover_that_7763f26_began_or_held_is_ended_by_this_build() {
    let stage = staged();
    dies_at(&stage, "assemble", Fault::DiesAfter);
    instead(&stage, &recorded("md_taking"));
    stage.wait(Duration::from_secs(1));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "md_taking");

    let stage = lives();
    stage.recover("ha1");
    instead(&stage, &recorded("md_host_lives"));
    let said = stage.recover("ha1").remove(0).text;
    assert!(said.contains("it lives"), "{said}");
    stage.resume();
    stage.wait(Duration::from_secs(70));
    let said = stage.recover_until_settled("ha1");
    stage.all_runs_on("ha1", &format!("md_host_lives: {said:?}"));
}

#[test]
fn while_an_old_ha_node_is_configured_it_reads_all_that_is_written_and_understands_the_same() {
    let shared = with_an_old_ha_node(Stage::with_dead_host());
    shared.recover("ha1");
    let held = with_an_old_ha_node(lives());
    held.recover("ha1");
    held.resume();
    let adopted = with_an_old_ha_node(staged());
    dies_at(&adopted, "assemble", Fault::DiesAfter);
    adopted.with(|u| u.dies("ha1"));
    adopted.wait(Duration::from_secs(60));
    adopted.recover_until_settled("ha2");
    for (name, stage) in [("shared", shared), ("held", held), ("adopted", adopted)] {
        let tree = all_of(&stage);
        assert_eq!(read_by_7763f26(&tree), [], "{name}");
        let theirs = understood_by_7763f26(&tree);
        let ours = history(&stage);
        assert_eq!(theirs.cut_by_hand, ours.disks.cut_by_hand, "{name}");
        assert_eq!(theirs.cut_by_hand, name == "held", "{name}");
        let expected = if name == "shared" { "shared" } else { "md" };
        let all_said = theirs.strategies.iter().all(|word| word.as_deref() == Some(expected));
        assert!(all_said && !theirs.strategies.is_empty(), "{name}: {theirs:?}");
        stage.nothing_was_broken(name);
    }
}

#[test]
fn once_all_read_it_the_journal_says_it_in_fields_and_an_old_reader_refuses_it_as_newer() {
    let stage = lives();
    stage.recover("ha1");
    let State::Held { .. } = stage.record().status.state else { panic!("not held") };
    let journal = stage.journal();
    let cause = journal.iter().find_map(|entry| match &entry.what {
        Event::Held { cause, .. } => *cause,
        _ => None,
    });
    assert_eq!(cause, Some(HeldCause::HostLives));
    let shared = Stage::with_dead_host();
    shared.recover("ha1");
    let strategy = shared.journal().iter().find_map(|entry| match &entry.what {
        Event::Started { step: Step::TakeStorage, strategy, .. } => *strategy,
        _ => None,
    });
    assert_eq!(strategy, Some(StrategyName::Shared));
    for stage in [stage, shared] {
        let refused = read_by_7763f26(&all_of(&stage));
        assert!(!refused.is_empty());
        // Entries alone: the record of the incident is read, so that no build loses or opens it again.
        for (key, read) in refused {
            assert!(key.contains("/journal/") || key.contains("/guests/"), "{key}");
            assert_eq!(read, Read::Newer, "{key}");
        }
    }
}
