//! What is true after every event of every schedule, a sentence each.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use nova_ha::fence::proof::ConfirmOff;
use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::incident::{IncidentRecord, Status};
use nova_ha::keys;
use nova_ha::nova::{NovaHost, ServerId, VmState};
use nova_ha::tree::record::parse;

use super::super::time::wall;
use super::super::universe::{HA_NODES, HOST, PROBE_INTERVAL, Universe, in_flight, incident};
use super::weather::{Freeze, Kind};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Invariant {
    /// At each power command a quorum of records that are not older than two periods said dead, or an order was in its
    /// time.
    Shot,
    /// Storage and Nova are changed only by an HA node that read exactly *off* within `proof_max_age`, or while a person's
    /// word counts.
    FreshOff,
    /// No guest of a host that was not proved off is ever evacuated.
    OnlyOfTheDead,
    /// A host is claimed once, and once more each time that a person has its held guests retried.
    OneClaim,
    /// No guest has two evacuations in flight.
    OneEvacuation,
    /// No guest runs on two machines that have power.
    OneMachine,
    /// `failed` and `recovered` go back only by a person.
    Flags,
    /// The record is the fold of its journal.
    Fold,
    /// No rule of the simulated machines is broken: one writer of an array or a pool, nothing done to a machine that has
    /// power.
    World,
    /// Half an hour after the last fault, and after each of two resumes, an incident is closed, or held with a reason.
    Progress,
}

/// What a process does to the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    Off { machine: String },
    Evacuate { server: ServerId, from: Option<NovaHost> },
    Nova,
    Storage,
}

/// Who does it, and what delayed it.
#[derive(Debug, Clone)]
pub(crate) struct Actor {
    /// How long it was on its way, and what its sender knew.
    pub(crate) late: Option<(Duration, Known)>,
    /// It stood still in the very call.
    pub(crate) in_call: Option<Freeze>,
    /// It stood still last.
    pub(crate) last: Option<Freeze>,
    /// How long ago Consul last said that the incident is its own, by its machine's boot clock.
    pub(crate) asked_ago: Option<Duration>,
}

/// What is known at a time.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) at: Duration,
    /// When an observer's record (first) said last that a machine is dead.
    said_dead: BTreeMap<(String, String), Duration>,
    /// When an HA node last read *off* of the host.
    read_off: BTreeMap<String, Duration>,
    word: Option<ConfirmOff>,
    ordered: Option<Duration>,
}

/// Something that is not true.
#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) at: Duration,
    pub(crate) invariant: Invariant,
    pub(crate) what: String,
    /// By whom, where it was somebody's effect.
    pub(crate) actor: Option<Actor>,
}

/// What is watched.
#[derive(Default)]
pub(crate) struct Invariants {
    pub(crate) violations: Vec<Violation>,
    actor: Option<Actor>,
    said_dead: BTreeMap<(String, String), Duration>,
    read_off: BTreeMap<String, Duration>,
    /// When a person ordered the shot.
    pub(crate) ordered: Option<Duration>,
    /// Where each guest's process is.
    runs_on: BTreeMap<ServerId, BTreeSet<String>>,
    folded: Status,
    head: u64,
    /// The keys that are watched, as they were last.
    seen: [Option<u64>; 3],
    claims: usize,
    flags: BTreeSet<String>,
    pub(crate) events: usize,
}

/// A proof's age at most, and the time that one attempt of an effect takes.
const FRESH: Duration = Duration::from_secs(30 + 5);

/// For how long an order counts.
const ORDER: Duration = Duration::from_secs(15 * 60);

const QUORUM: usize = 2;

impl Invariants {
    /// Of a world in which only the host has guests.
    pub(crate) fn of(universe: &Universe) -> Self {
        let runs = universe.servers.values().filter(|server| server.vm_state == VmState::Active);
        let here = |server: &nova_ha::nova::Server| (server.id.clone(), BTreeSet::from([HOST.to_owned()]));
        Self { runs_on: runs.map(here).collect(), ..Self::default() }
    }
}

impl Universe {
    fn violated(&mut self, invariant: Invariant, what: String) {
        let at = self.now;
        if let Some(invariants) = &mut self.invariants {
            let actor = invariants.actor.clone();
            invariants.violations.push(Violation { at, invariant, what, actor });
        }
    }

    pub(crate) fn breaks_a_rule_of_the_world(&mut self, what: &str) {
        self.violated(Invariant::World, what.to_owned());
    }

    /// Somebody acts from here on.
    pub(crate) fn begins(&mut self, actor: Actor) {
        if let Some(invariants) = &mut self.invariants {
            invariants.actor = Some(actor);
        }
    }

    /// And is through with it.
    pub(crate) fn is_over(&mut self) {
        if self.invariants.is_some() {
            self.everything_holds();
        }
        if let Some(invariants) = &mut self.invariants {
            invariants.actor = None;
        }
    }

    pub(crate) fn was_probed(&mut self, observer: &str, subject: &str, is_a_vote: bool) {
        let now = self.now;
        if let Some(invariants) = self.invariants.as_mut().filter(|_| is_a_vote) {
            invariants.said_dead.insert((observer.to_owned(), subject.to_owned()), now);
        }
    }

    pub(crate) fn power_is_read(&mut self, node: &str, machine: &str) -> bool {
        let (on, now) = (self.machines[machine].power_on, self.now);
        if let Some(invariants) = self.invariants.as_mut().filter(|_| machine == HOST) {
            match on {
                true => invariants.read_off.remove(node),
                false => invariants.read_off.insert(node.to_owned(), now),
            };
        }
        on
    }

    pub(crate) fn what_is_known(&self) -> Known {
        let word = self.kv.get(&keys::incident(&incident()).confirm_off());
        let word = word.map(|entry| parse::<ConfirmOff>(&entry.key, &entry.value).unwrap());
        let empty = Invariants::default();
        let invariants = self.invariants.as_deref().unwrap_or(&empty);
        Known {
            at: self.now,
            said_dead: invariants.said_dead.clone(),
            read_off: invariants.read_off.clone(),
            word,
            ordered: invariants.ordered,
        }
    }

    /// A late message is judged by what was known when it was sent.
    pub(crate) fn is_done(&mut self, by: &str, effect: &Effect) {
        let Some(invariants) = &self.invariants else { return };
        let late = invariants.actor.as_ref().and_then(|actor| actor.late.as_ref());
        let known = late.map_or_else(|| self.what_is_known(), |(_, known)| known.clone());
        match effect {
            Effect::Off { machine } if !known.allows_the_shot(machine) => {
                self.violated(Invariant::Shot, format!("{by} powers {machine} off without a quorum of now"));
            }
            Effect::Off { .. } => {}
            Effect::Evacuate { .. } | Effect::Nova | Effect::Storage if !known.shows_off(by) => {
                self.violated(Invariant::FreshOff, format!("{by}: {effect:?} without a fresh off"));
            }
            Effect::Evacuate { .. } | Effect::Nova | Effect::Storage => {}
        }
        if let Effect::Evacuate { server, from } = effect {
            let of_the_dead = from.as_ref().is_some_and(|host| host.as_str() == HOST && known.shows_off(by));
            if !of_the_dead {
                let what = format!("{by} evacuates {server} of {from:?}, which it did not prove off");
                self.violated(Invariant::OnlyOfTheDead, what);
            }
            self.nothing_of_it_is_under_way(by, server);
        }
    }

    /// A request counts as in flight from its sending on, unless Nova will not take it when it arrives.
    fn nothing_of_it_is_under_way(&mut self, by: &str, server: &ServerId) {
        let mut on_their_way =
            self.weather.on_their_way.iter().filter(|m| m.kind == Kind::Post && m.is_about(server));
        let on_its_way = on_their_way.any(|m| m.is_taken(self));
        let begun = self.migrations.iter().any(|(m, _)| m.server == *server && in_flight(m));
        if on_its_way || begun {
            let what = format!("{by} evacuates {server} while an earlier evacuation of it is under way");
            self.violated(Invariant::OneEvacuation, what);
        }
    }

    pub(crate) fn guest_starts(&mut self, server: &ServerId, on: &str) {
        if let Some(invariants) = &mut self.invariants
            && let Some(machines) = invariants.runs_on.get_mut(server)
        {
            machines.insert(on.to_owned());
        }
    }

    /// Of the state of the world.
    pub(crate) fn everything_holds(&mut self) {
        let Some(mut invariants) = self.invariants.take() else { return };
        invariants.events += 1;
        let machines = &self.machines;
        let mut found = Vec::new();
        for (server, on) in &mut invariants.runs_on {
            on.retain(|machine| machines[machine].power_on);
            if on.len() > 1 {
                found.push((Invariant::OneMachine, format!("{server} runs on {on:?}")));
            }
        }
        let mut under_way = BTreeSet::new();
        for (migration, _) in self.migrations.iter().filter(|(m, _)| in_flight(m)) {
            if !under_way.insert(&migration.server) {
                let what = format!("{} has two evacuations in flight", migration.server);
                found.push((Invariant::OneEvacuation, what));
            }
        }
        let host = keys::host(&HOST.parse().unwrap());
        let watched = [host.failed(), host.recovered(), keys::incident(&incident()).incident()];
        let seen = watched.map(|key| self.kv.modify_index(&key));
        if std::mem::replace(&mut invariants.seen, seen) != seen {
            self.tree_holds(&mut invariants, &mut found);
        }
        self.invariants = Some(invariants);
        for (invariant, what) in found {
            self.violated(invariant, what);
        }
    }

    fn tree_holds(&self, invariants: &mut Invariants, found: &mut Vec<(Invariant, String)>) {
        let host = keys::host(&HOST.parse().unwrap());
        for key in [host.failed(), host.recovered()] {
            let is_set = self.kv.get(&key).is_some_and(|entry| entry.value == b"True");
            match is_set {
                true => drop(invariants.flags.insert(key)),
                false if invariants.flags.remove(&key) => {
                    found.push((Invariant::Flags, format!("{key} went back, and no person did it")));
                }
                false => {}
            }
        }
        let keys = keys::incident(&incident());
        let Some(entry) = self.kv.get(&keys.incident()) else { return };
        let record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
        while invariants.head < record.head {
            let key = keys.journal_entry(invariants.head + 1);
            let Some(entry) = self.kv.get(&key) else {
                found.push((Invariant::Fold, format!("{key} is missing, the head is {}", record.head)));
                return;
            };
            let entry: JournalEntry = parse(&entry.key, &entry.value).unwrap();
            invariants.claims += usize::from(matches!(entry.what, Event::Claimed { .. }));
            // One that is opened again for held guests is claimed anew.
            if matches!(entry.what, Event::Retried { .. }) {
                invariants.claims = 0;
            }
            if invariants.claims > 1 {
                found.push((Invariant::OneClaim, format!("claimed {} times", invariants.claims)));
            }
            match invariants.folded.after(&entry.what) {
                Ok(status) => invariants.folded = status,
                Err(illegal) => found.push((Invariant::Fold, illegal.to_string())),
            }
            invariants.head += 1;
        }
        if invariants.folded != record.status || invariants.head != record.head {
            let what = format!("its journal says {:?}, its record {:?}", invariants.folded, record.status);
            found.push((Invariant::Fold, what));
        }
    }
}

impl Known {
    fn allows_the_shot(&self, machine: &str) -> bool {
        let recent = |observer: &&&str| {
            let said = self.said_dead.get(&((**observer).to_owned(), machine.to_owned()));
            said.is_some_and(|said| self.at - *said <= PROBE_INTERVAL * 2)
        };
        let voters = HA_NODES.iter().filter(|o| **o != machine).filter(recent).count();
        let ordered = machine == HOST && self.ordered.is_some_and(|at| self.at - at <= ORDER);
        voters >= QUORUM || ordered
    }

    fn shows_off(&self, node: &str) -> bool {
        let read = self.read_off.get(node).is_some_and(|read| self.at - *read <= FRESH);
        let now = wall(self.at);
        let lasts = |word: &ConfirmOff| {
            let ttl = Duration::from_secs(word.ttl_seconds) + FRESH;
            word.at <= now && now <= word.at + jiff::SignedDuration::try_from(ttl).unwrap()
        };
        read || self.word.as_ref().is_some_and(lasts)
    }
}
