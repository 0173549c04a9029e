//! Builds scenes in the words of the tests.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::judge::decision::{Decision, No, decide};
use crate::judge::freshness::Freshness;
use crate::judge::scene::{Anchor, Cooling, KnownIncident, Observer, Scene, Subject, Testimony};
use crate::judge::verdict::{CannotTell, Proof, Verdict, judge};
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::policy::Policy;
use crate::store::SerfHealth;
use crate::tree::cooldown::Cause;
use crate::tree::observer::{KEPT_INDICES, ObserverLife, ObserverRecord, PlaneAnswer, PlaneRecord};

pub(super) fn host(name: &str) -> HostName {
    name.parse().unwrap()
}

pub(super) fn ha(name: &str) -> HaNodeName {
    name.parse().unwrap()
}

pub(super) fn noon() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

/// A failing record that counts: three fails, epoch 0, an observer that has run for days.
pub(super) fn record(observer: &str, fails: u64) -> ObserverRecord {
    let answer = if fails == 0 { PlaneAnswer::Healthy } else { PlaneAnswer::Failed };
    ObserverRecord {
        version: 1,
        observer: ha(observer),
        epoch: Epoch(0),
        sequence: fails,
        fails,
        threshold: 3,
        planes: [("management".to_owned(), PlaneRecord { answer, fails })].into(),
        interval_ms: 10_000,
        // Each of the writes before this one, as far as they are kept.
        indices: (1..fails).map(|n| 10 * n).take(KEPT_INDICES).collect(),
        life: ObserverLife {
            boot_id: "b".into(),
            boottime_ms: 86_400_000,
            seen_healthy: true,
            leaderless_ms: None,
        },
        sees_healthy: Vec::new(),
        first_seen_key: None,
        at: noon(),
        why: String::new(),
    }
}

pub(super) fn testimony(observer: &str, fails: u64) -> Testimony {
    Testimony {
        record: record(observer, fails),
        modify_index: 100,
        freshness: Freshness::Fresh,
        unchanged_for: Duration::ZERO,
    }
}

/// A site with HA nodes `ha1`.. and hosts `h1`.., all well; no anchor was asked.
#[derive(Debug, Clone)]
pub(super) struct Site(pub(super) Scene);

impl Site {
    pub(super) fn new(ha_nodes: usize, hosts: usize) -> Self {
        Self(Scene {
            policy: Policy::default(),
            observers: (1..=ha_nodes)
                .map(|n| (ha(&format!("ha{n}")), Observer { serf: Some(SerfHealth::Passing) }))
                .collect(),
            hosts: (1..=hosts).map(|n| host(&format!("h{n}"))).collect(),
            subjects: Default::default(),
            incidents: Vec::new(),
            cooling: None,
            anchor: Anchor::NotAsked,
            now: noon(),
        })
    }

    pub(super) fn policy(mut self, change: impl FnOnce(&mut Policy)) -> Self {
        change(&mut self.0.policy);
        self
    }

    pub(super) fn limit(self, limit: usize) -> Self {
        self.policy(|p| p.storm_limit = Some(limit))
    }

    /// The subject, made when needed, with a critical agent.
    pub(super) fn subject(&mut self, name: &str) -> &mut Subject {
        self.0.subjects.entry(host(name)).or_insert_with(|| Subject {
            epoch: Epoch(0),
            has_agent: true,
            serf: Some(SerfHealth::Critical),
            testimonies: Default::default(),
            unreadable: Default::default(),
            maintenance: None,
            failed: false,
            recovered: false,
        })
    }

    pub(super) fn with(mut self, name: &str, change: impl FnOnce(&mut Subject)) -> Self {
        change(self.subject(name));
        self
    }

    /// These observers have counted so many fails of this host.
    pub(super) fn seen(mut self, name: &str, observers: &[&str], fails: u64) -> Self {
        for observer in observers {
            self.subject(name).testimonies.insert(ha(observer), testimony(observer, fails));
        }
        self
    }

    /// Three fails, by all observers.
    pub(super) fn dead(self, name: &str) -> Self {
        let all: Vec<String> = self.0.observers.keys().map(ToString::to_string).collect();
        self.seen(name, &all.iter().map(String::as_str).collect::<Vec<_>>(), 3)
    }

    /// Changes one observer's record of one host.
    pub(super) fn says(mut self, name: &str, observer: &str, change: impl FnOnce(&mut Testimony)) -> Self {
        change(self.subject(name).testimonies.get_mut(&ha(observer)).unwrap());
        self
    }

    /// These observers see another host healthy, and say so in all their records of failing ones.
    pub(super) fn sees_healthy(mut self, healthy: &str, observers: &[&str]) -> Self {
        for testimony in self.0.subjects.values_mut().flat_map(|s| s.testimonies.values_mut()) {
            if observers.iter().any(|name| testimony.record.observer == ha(name)) {
                testimony.record.sees_healthy.push(host(healthy));
            }
        }
        self
    }

    /// All observers do.
    pub(super) fn all_see_healthy(self, healthy: &str) -> Self {
        let all: Vec<String> = self.0.observers.keys().map(ToString::to_string).collect();
        self.sees_healthy(healthy, &all.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// The observer's own `serfHealth`.
    pub(super) fn observer(mut self, name: &str, serf: Option<SerfHealth>) -> Self {
        self.0.observers.get_mut(&ha(name)).unwrap().serf = serf;
        self
    }

    pub(super) fn anchor(mut self) -> Self {
        self.0.anchor = Anchor::Reached("leader".into());
        self
    }

    pub(super) fn incident(mut self, name: &str, epoch: u64, open: bool, minutes_ago: i64) -> Self {
        self.0.incidents.push(KnownIncident {
            id: IncidentId::new(host(name), Epoch(epoch)),
            open,
            opened_at: noon() - SignedDuration::from_mins(minutes_ago),
            by_votes: true,
            is_readable: true,
        });
        self
    }

    /// An incident of which nothing but its id is known.
    pub(super) fn unreadable_incident(mut self, name: &str, epoch: u64) -> Self {
        self = self.incident(name, epoch, true, 0);
        if let Some(incident) = self.0.incidents.last_mut() {
            incident.is_readable = false;
        }
        self
    }

    pub(super) fn cooldown(mut self, cause: Cause, began_minutes_ago: u64) -> Self {
        let left = 15_u64.saturating_sub(began_minutes_ago);
        self.0.cooling = Some(Cooling { cause, left: Duration::from_secs(60 * left) });
        self
    }

    pub(super) fn decide(&self, name: &str) -> Decision {
        decide(&self.0, &host(name))
    }

    pub(super) fn no(&self, name: &str) -> No {
        match self.decide(name) {
            Decision::No(no) => no,
            Decision::Mark(proof) => panic!("{name} was to be marked: {proof:?}"),
        }
    }

    pub(super) fn proof(&self, name: &str) -> Proof {
        match self.decide(name) {
            Decision::Mark(proof) => proof,
            Decision::No(no) => panic!("{name} was not to be marked: {}", no.text()),
        }
    }

    pub(super) fn is_marked(&self, name: &str) -> bool {
        matches!(self.decide(name), Decision::Mark(_))
    }

    /// Too few votes, so many.
    pub(super) fn has_votes(&self, name: &str, expected: usize) {
        match self.no(name) {
            No::CannotTell(CannotTell::Votes { have, .. }) => assert_eq!(have, expected),
            other => panic!("expected {expected} votes and too few, got {other:?}"),
        }
    }

    /// The verdict on an HA node, whose subject is given under that name.
    pub(super) fn verdict_on(&self, name: &str) -> Verdict {
        let doubtful = crate::judge::guard::guards(&self.0).doubtful;
        judge(&self.0, name, &self.0.subjects[&host(name)], &doubtful)
    }
}

/// Makes a record say something of one plane.
pub(super) fn plane(name: &'static str, answer: PlaneAnswer, fails: u64) -> impl Fn(&mut Testimony) {
    move |t| {
        t.record.planes.insert(name.to_owned(), PlaneRecord { answer, fails });
    }
}

/// The observer started so long ago.
pub(super) fn started(ago: Duration, seen_healthy: bool) -> impl Fn(&mut Testimony) {
    move |t| {
        t.record.life.boottime_ms = u64::try_from(ago.as_millis()).unwrap();
        t.record.life.seen_healthy = seen_healthy;
    }
}

/// The observer had no Consul leader for long, until so long ago.
pub(super) fn leaderless(ago: Duration, seen_healthy: bool) -> impl Fn(&mut Testimony) {
    move |t| {
        let ago = u64::try_from(ago.as_millis()).unwrap();
        t.record.life.leaderless_ms = Some(t.record.life.boottime_ms - ago);
        t.record.life.seen_healthy = seen_healthy;
    }
}
