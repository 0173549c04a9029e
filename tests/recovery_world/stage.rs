//! A world with a dead host and an open incident, and what must be true of it in the end.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nova_ha::incident::guest::{GuestEntry, GuestState};
use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::incident::lead::{Lead, Word};
use nova_ha::incident::status::State;
use nova_ha::incident::{IncidentRecord, opening};
use nova_ha::keys;
use nova_ha::monitor::mark::report::Line;
use nova_ha::monitor::mark::{MarkError, Request, run as mark};
use nova_ha::nova::Server;
use nova_ha::recovery::report::Report;
use nova_ha::recovery::world::World;
use nova_ha::tree::Snapshot;
use nova_ha::tree::formats::Kind;
use nova_ha::tree::formats::published::Published;
use nova_ha::tree::record::{bytes, parse};

use super::seams::{Fault, Process};
use super::time::{Time, block_on};
use super::universe::{HA_NODES, HOST, Universe, incident};

pub(crate) struct Stage {
    pub(crate) time: Arc<Time>,
    pub(crate) universe: Arc<Mutex<Universe>>,
}

impl Stage {
    /// compute1 is dead for 40 s, its power still on; its incident was opened by `mark-failed`.
    pub(crate) fn with_dead_host() -> Self {
        let stage = Self::with_votes();
        let world = stage.process("ha1", None).world();
        let (lines, judged) = stage.mark(&world);
        judged.unwrap();
        assert!(stage.is_marked(), "{lines:?}");
        stage
    }

    /// compute1 is dead for 40 s and voted so; nobody has judged yet.
    pub(crate) fn with_votes() -> Self {
        let stage = Self::of_living();
        stage.with(|u| u.dies(HOST));
        stage.wait(Duration::from_secs(40));
        stage
    }

    /// All is well.
    pub(crate) fn of_living() -> Self {
        let start = Duration::from_secs(10_000);
        let (time, universe) = (Time::from(start), Universe::new(start));
        Self { time, universe: Arc::new(Mutex::new(universe)) }
    }

    /// One execution of `nova-ha-mark-failed`, by the watch.
    pub(crate) fn mark(&self, world: &World) -> (Vec<Line>, Result<(), MarkError>) {
        let request = Request { hosts: Vec::new(), order: None, sweep: false, machine: "ha1".into() };
        let mut lines = Vec::new();
        let judged = block_on(&self.time, mark(&world.witness(), &request, &mut lines));
        (lines, judged)
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.stored_record().is_some()
    }

    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut Universe) -> T) -> T {
        act(self.universe.lock().unwrap().at(self.time.now()))
    }

    pub(crate) fn wait(&self, duration: Duration) {
        block_on(&self.time, self.time.sleep(duration));
        self.with(|_| ());
    }

    pub(crate) fn process(&self, node: &str, fault: Option<(usize, Fault)>) -> Arc<Process> {
        Process::new(node, &self.time, &self.universe, fault, 0)
    }

    /// One execution without a fault.
    pub(crate) fn recover(&self, node: &str) -> Vec<Report> {
        let process = self.process(node, None);
        block_on(&self.time, process.run()).expect("no fault").unwrap_or_else(|stop| panic!("{stop:?}"))
    }

    /// Executions on one HA node until the incident has ended or is held, as a timer would.
    pub(crate) fn recover_until_settled(&self, node: &str) -> Vec<String> {
        let mut said = Vec::new();
        for _ in 0..6 {
            said.extend(self.recover(node).into_iter().map(|report| report.text));
            if self.record().status.state != State::Active {
                break;
            }
            self.wait(Duration::from_secs(60));
        }
        said
    }

    pub(crate) fn record(&self) -> IncidentRecord {
        self.stored_record().unwrap()
    }

    /// As an HA node took it up, or as it was opened.
    pub(crate) fn stored_record(&self) -> Option<IncidentRecord> {
        let mut tree = Snapshot::default();
        tree.extend(
            self.with(|u| opening::keys_of(&incident()).map(|key| u.kv.get(&key))).into_iter().flatten(),
        );
        opening::record_of(&tree, &incident()).unwrap()
    }

    pub(crate) fn guests(&self) -> BTreeMap<String, GuestEntry> {
        let entries = self.with(|u| u.kv.below(&keys::incident(&incident()).guests()));
        let guest = |e: nova_ha::store::Entry| parse::<GuestEntry>(&e.key, &e.value).unwrap();
        entries.into_iter().map(guest).map(|guest| (guest.name.clone(), guest)).collect()
    }

    pub(crate) fn journal(&self) -> Vec<JournalEntry> {
        let entries = self.with(|u| u.kv.below(&keys::incident(&incident()).journal()));
        entries.into_iter().map(|e| parse(&e.key, &e.value).unwrap()).collect()
    }

    /// A person's `incident resume`.
    pub(crate) fn resume(&self) {
        let reads = |entry: nova_ha::store::Entry| {
            Published::parse(&entry.key, &entry.value)
                .is_ok_and(|published| published.reads(Kind::Layout) >= 2)
        };
        self.with(|u| {
            let formats = HA_NODES.map(|node| keys::ha_node(&node.parse().unwrap()).formats());
            match formats.iter().all(|key| u.kv.get(key).is_some_and(reads)) {
                true => say(u, Lead::Resume { gone: None }),
                false => append(u, Event::Resumed { by: "maria".into(), gone: None }),
            }
        });
    }

    /// What holds after every schedule, however it ended.
    pub(crate) fn nothing_was_broken(&self, what: &str) {
        let broken = self.with(|u| u.broken.clone());
        assert!(broken.is_empty(), "{what}: {broken:#?}\n{:#?}", self.journal());
        let journal = self.journal();
        let claims = journal.iter().filter(|e| matches!(e.what, Event::Claimed { .. })).count();
        assert!(claims <= 1, "{what}: claimed {claims} times");
        let status = nova_ha::incident::Status::replay(&journal).unwrap();
        assert_eq!(status, self.record().status, "{what}: the record is the fold of its journal");
        if status.state == State::Closed {
            let servers = self.with(|u| u.servers.clone());
            let guests = self.guests();
            for server in servers.values() {
                let state = guests.get(&server.name).map(|guest| guest.state.clone());
                assert!(
                    state.as_ref().is_some_and(GuestState::is_final),
                    "{what}: closed, and {} is {state:?}",
                    server.name
                );
            }
        }
    }

    /// `by` ended it after `dead`, an HA node, died in its middle. Guests that `dead` had recovered run nowhere: a person's
    /// matter, and never called done before she moved them.
    pub(crate) fn is_closed_without(&self, dead: &str, by: &str, what: &str) {
        let closed_by =
            |entry: &JournalEntry| matches!(entry.what, Event::Closed { .. }) && entry.by.contains(dead);
        if self.journal().last().is_some_and(closed_by) {
            return; // They ran, then.
        }
        let on_dead = GuestState::Recovered { to: dead.into() };
        if self.guests().values().any(|guest| guest.state == on_dead) {
            assert!(self.is_held_for_guests_on(dead), "{what}: {:#?}\n{:#?}", self.journal(), self.guests());
            self.resume();
            self.recover_until_settled(by);
            assert!(self.is_held_for_guests_on(dead), "{what}: nobody moved them: {:#?}", self.journal());
            let storage = keys::ha_node(&by.parse().unwrap()).storage();
            if self.with(|u| u.kv.get(&storage).is_some_and(|entry| entry.value != b"shared")) {
                // It boots, without the disks that it had.
                self.with(|u| u.returns(dead));
                self.resume();
                self.recover_until_settled(by);
                assert!(self.is_held_for_guests_on(dead), "{what}: it is up: {:#?}", self.journal());
            }
            self.with(|u| {
                let there = |s: &&mut Server| s.host.as_ref().is_some_and(|host| host.as_str() == dead);
                u.servers.values_mut().filter(there).for_each(|s| s.host = Some(by.parse().unwrap()));
            });
            self.resume();
            self.recover_until_settled(by);
            self.nothing_was_broken(what);
        }
        assert_eq!(self.record().status.state, State::Closed, "{what}: {:#?}", self.journal());
    }

    /// Whether it is held because guests were recovered on an HA node that died since.
    pub(crate) fn is_held_for_guests_on(&self, dead: &str) -> bool {
        let words = format!("recovered on {dead}, which");
        matches!(self.record().status.state, State::Held { reason } if reason.contains(&words))
    }

    /// Closed, every guest evacuated exactly once to the HA node that took the storage, and that one used up by it.
    pub(crate) fn all_runs_on(&self, node: &str, what: &str) {
        self.nothing_was_broken(what);
        assert_eq!(self.record().status.state, State::Closed, "{what}: {:#?}", self.journal());
        for (name, guest) in self.guests() {
            assert_eq!(guest.state, GuestState::Recovered { to: node.into() }, "{what}: {name}");
        }
        self.with(|u| {
            assert_eq!(u.migrations.len(), 3, "{what}");
            let keys = keys::ha_node(&node.parse().unwrap());
            let text = |key: &str| u.kv.get(key).map(|entry| String::from_utf8(entry.value).unwrap());
            assert_eq!(text(&keys.in_use()).as_deref(), Some("True"), "{what}");
            assert_eq!(text(&keys.in_use_by()).as_deref(), Some("compute1@0"), "{what}");
        });
    }

    /// Closed, every guest evacuated exactly once and running elsewhere, nobody in use any more.
    pub(crate) fn all_is_recovered(&self, what: &str) {
        self.nothing_was_broken(what);
        let record = self.record();
        assert_eq!(record.status.state, State::Closed, "{what}: {:#?}\n{:#?}", self.journal(), self.guests());
        for (name, guest) in self.guests() {
            assert!(matches!(guest.state, GuestState::Recovered { .. }), "{what}: {name} {guest:?}");
        }
        self.with(|u| {
            assert_eq!(u.migrations.len(), 3, "{what}: {:?}", u.migrations);
            assert!(
                u.servers.values().all(|s| s.host.as_ref().is_some_and(|h| h.as_str() != HOST)),
                "{what}"
            );
            for node in super::universe::HA_NODES {
                let keys = keys::ha_node(&node.parse().unwrap());
                let text = |key: &str| u.kv.get(key).map(|e| String::from_utf8(e.value).unwrap());
                assert_eq!(text(&keys.in_use()).as_deref(), Some("False"), "{what}: {node}");
                assert_eq!(text(&keys.in_use_by()), None, "{what}: {node}");
            }
        });
    }
}

/// A person leads the incident, as the operator's commands say it.
pub(crate) fn say(universe: &mut Universe, what: Lead) {
    let keys = keys::incident(&incident());
    let at = super::time::wall(universe.now);
    let word = Word::new(incident(), "maria".into(), at, what);
    if matches!(word.what, Lead::Hold { .. }) {
        universe.kv.remove(&keys.resume());
    }
    universe.kv.put(&word.what.key(&keys), bytes(&word));
}

/// A person's event, as it is written by a token that may write the journal; nothing where it cannot follow.
pub(crate) fn append(universe: &mut Universe, event: Event) {
    append_by(universe, "maria", event);
}

/// Anybody's event; nothing where it cannot follow.
pub(crate) fn append_by(universe: &mut Universe, by: &str, event: Event) {
    let keys = keys::incident(&incident());
    let stored = universe.kv.get(&keys.incident()).unwrap();
    let mut record: IncidentRecord = parse(&stored.key, &stored.value).unwrap();
    let Ok(status) = record.status.after(&event) else { return };
    record.status = status;
    record.head += 1;
    let term =
        universe.kv.get(&keys.term()).map_or(0, |e| String::from_utf8(e.value).unwrap().parse().unwrap());
    let at = super::time::wall(universe.now);
    let entry = JournalEntry {
        version: 1,
        sequence: record.head,
        term,
        by: by.into(),
        machine: None,
        boot: None,
        at,
        what: event,
    };
    universe.kv.put(&keys.journal_entry(entry.sequence), bytes(&entry));
    universe.kv.put(&keys.incident(), bytes(&record));
}
