//! Whether one observer's record counts as a vote.

use std::time::Duration;

use super::freshness::Freshness;
use super::scene::{Observer, Subject, Testimony};
use crate::names::HaNodeName;
use crate::policy::{Policy, Rule};
use crate::store::SerfHealth;
use crate::tree::observer::{KEPT_INDICES, ObserverRecord, PlaneAnswer};

/// Fails from which a host is a suspect. Below the threshold, so that hosts that die together are
/// all counted when the first of them reaches it.
pub const SUSPECT_FAILS: u64 = 2;

/// What one observer says of one machine under one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vote {
    /// Dead: counts.
    Dead,
    /// It sees the machine answer.
    Healthy,
    /// Not (yet) a vote, and why.
    None(NoVote),
}

/// Why a record is no vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoVote {
    /// The observer wrote nothing: it sees no failure, or does not look.
    NoRecord,
    /// What it wrote cannot be understood.
    Unreadable {
        /// Why.
        why: String,
    },
    /// The observer's own agent is not passing: it may be cut off.
    ObserverNotPassing,
    /// Its record is old, or nothing tells its age.
    NotFresh,
    /// Its record is of another epoch.
    OtherEpoch,
    /// Too few consecutive fails.
    BelowThreshold {
        /// Fails on the plane that has fewest.
        fails: u64,
        /// Needed.
        threshold: u64,
    },
    /// The rule names a plane that this observer does not probe, or cannot judge.
    PlaneUnknown {
        /// Which.
        plane: String,
    },
    /// It started, or had no Consul leader, recently and has not seen the machine healthy since.
    NeverSeenHealthy,
    /// It sees more failing than can be believed.
    DoubtsItself,
}

impl NoVote {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            NoVote::NoRecord => "reports no failure".into(),
            NoVote::Unreadable { why } => format!("its record cannot be understood: {why}"),
            NoVote::ObserverNotPassing => "its own agent is not passing".into(),
            NoVote::NotFresh => "record not fresh".into(),
            NoVote::OtherEpoch => "record of another epoch".into(),
            NoVote::BelowThreshold { fails, threshold } => format!("{fails} of {threshold} fails"),
            NoVote::PlaneUnknown { plane } => format!("cannot judge plane {plane}"),
            NoVote::NeverSeenHealthy => {
                "started or had no Consul leader recently, and has not seen it healthy since".into()
            }
            NoVote::DoubtsItself => "sees too much failing, doubts itself".into(),
        }
    }
}

/// One observer's vote under one rule. `doubts` says whether the observer doubts itself.
pub fn vote(
    observer: &Observer,
    testimony: Option<&Testimony>,
    subject: &Subject,
    rule: &Rule,
    policy: &Policy,
    doubts: bool,
) -> Vote {
    if observer.serf != Some(SerfHealth::Passing) {
        return Vote::None(NoVote::ObserverNotPassing);
    }
    let Some(Testimony { record, freshness, .. }) = testimony else { return Vote::None(NoVote::NoRecord) };
    if record.epoch != subject.epoch {
        return Vote::None(NoVote::OtherEpoch);
    }
    if record.fails == 0 {
        // The one write that says *healthy again*. It ages: the verdict compares its index with
        // those of the failures.
        return Vote::Healthy;
    }
    if *freshness != Freshness::Fresh {
        return Vote::None(NoVote::NotFresh);
    }
    if doubts {
        return Vote::None(NoVote::DoubtsItself);
    }
    // At least the guard's number: whoever votes has a suspect, or the storm guard would miss it.
    let threshold = record.threshold.max(policy.threshold).max(SUSPECT_FAILS);
    if rule.planes.is_empty() {
        // "All of no planes failed" would be true; the original shot hosts that way.
        return Vote::None(NoVote::PlaneUnknown { plane: "(the rule names none)".into() });
    }
    let mut fewest = record.fails.min(in_a_row(record));
    for name in &rule.planes {
        match record.planes.get(name) {
            Some(plane) => match plane.answer {
                PlaneAnswer::Failed => fewest = fewest.min(plane.fails),
                PlaneAnswer::Healthy => return Vote::Healthy,
                PlaneAnswer::CannotTell => return Vote::None(NoVote::PlaneUnknown { plane: name.clone() }),
            },
            None => return Vote::None(NoVote::PlaneUnknown { plane: name.clone() }),
        }
    }
    if fewest < threshold {
        return Vote::None(NoVote::BelowThreshold { fails: fewest, threshold });
    }
    // Met no leader for longer than an election: the same doubt as after an own start.
    let since = record.life.boottime_ms.saturating_sub(record.life.leaderless_ms.unwrap_or(0));
    let started_recently = Duration::from_millis(since) < policy.cooldown;
    if started_recently && !record.life.seen_healthy {
        return Vote::None(NoVote::NeverSeenHealthy);
    }
    Vote::Dead
}

/// How many of its last writes follow on each other, as far as the record tells. The counters outlast a gap (Consul was away,
/// the observer was off or asleep), and what was counted before one says nothing of now. They go on counting for the storm
/// guard: on observers short of CPU, hosts that die together must not stop being suspects.
fn in_a_row(record: &ObserverRecord) -> u64 {
    match record.indices.len() {
        KEPT_INDICES => u64::MAX,
        before => u64::try_from(before).unwrap_or(0).saturating_add(1),
    }
}

/// A line per observer that does not vote, for people.
pub fn absentees(votes: &[(HaNodeName, Vote)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (name, vote) in votes {
        match vote {
            Vote::Dead => {}
            Vote::Healthy => parts.push(format!("{name}: sees it answer")),
            Vote::None(why) => parts.push(format!("{name}: {}", why.text())),
        }
    }
    parts.join("; ")
}
