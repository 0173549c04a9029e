//! Self-doubt and the storm guard: whether so many failures can be believed.
//!
//! What counts is what happens *now*: suspects, and incidents opened within the last hour. An older
//! incident is a known case, however long it waits or is held: it uses up an HA node, and disarms nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::freshness::Freshness;
use super::limit::{Over, over};
use super::quorum::{electors, votes_needed};
use super::scene::{KnownIncident, Scene, Subject, Testimony};
use super::votes::SUSPECT_FAILS;
use crate::names::{HaNodeName, HostName};
use crate::policy::StormLimits;
use crate::store::SerfHealth;

/// How long an incident counts against the limit, whether it is open or has ended: hosts that die one
/// after the other for one cause are one storm. By the wall clock.
pub const INCIDENTS_COUNT_HOURS: i64 = 1;

/// How long a marking by votes counts against the day's limit, by the wall clock; whoever removes incidents
/// leaves these.
pub const MARKINGS_COUNT_HOURS: i64 = 24;

/// What the guards found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guards {
    /// Observers that see more suspects than the limit, or did within the cool-down: their
    /// records do not count.
    pub doubtful: BTreeSet<HaNodeName>,
    /// Whether those that can be believed are enough to say anything.
    pub belief: Belief,
    /// Hosts suspected by an observer that can be believed; in a storm, those that a quorum suspects.
    pub suspects: BTreeSet<HostName>,
    /// Hosts with an incident that was opened in the last hour, whether it is open or has ended.
    pub incidents: BTreeSet<HostName>,
    /// The site's limits.
    pub limits: StormLimits,
    /// What is over a limit.
    pub over: Over,
    /// Hosts marked by votes within a day.
    pub marked_in_a_day: usize,
}

/// Whether the observers that can be believed may decide anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// At least a quorum of them, or a quorum that agrees on too much.
    Quorum,
    /// Fewer. What they see is neither a death nor a storm: it is looked at again.
    TooFew,
}

impl Guards {
    /// Hosts counted against the site's limit.
    pub fn counted(&self) -> usize {
        self.suspects.union(&self.incidents).count()
    }
}

fn suspects_of(scene: &Scene, observer: &HaNodeName) -> BTreeSet<HostName> {
    scene
        .subjects
        .iter()
        .filter(|(host, subject)| counts(scene, host, subject))
        .filter(|(_, subject)| {
            subject.testimonies.get(observer).is_some_and(|t| suspects(t, subject, scene.policy.cooldown))
        })
        .map(|(host, _)| host.clone())
        .collect()
}

/// Hosts that nobody configured (a mistyped probe leaves records too), hosts in maintenance, and
/// hosts whose case is known (open: counted as incident; ended: it is off and stays so until an
/// administrator resets it) are no suspects. A known case includes one that was withdrawn or
/// abandoned: it cannot be marked before a reset, and counted for as long as it stays unreset it
/// would leave a small site unprotected.
fn counts(scene: &Scene, host: &HostName, subject: &Subject) -> bool {
    scene.hosts.contains(host) && subject.maintenance.is_none() && !scene.is_known_case(host, subject.epoch)
}

/// A record whose age nobody can tell counts here: the guard errs to the side of not shooting. So
/// does an old one of a host that gossip has lost as well: on observers that are short of CPU, as
/// they are in a storm, probes fall behind, each host's by another amount, and the storm would be
/// seen one host at a time. An observer that sees the host answer again writes so. One that has not written for the time of
/// a cool-down says nothing of now: what an observer left that does not look any more must not become a storm with the first
/// flap of gossip.
fn suspects(testimony: &Testimony, subject: &Subject, cooldown: Duration) -> bool {
    let lost =
        subject.has_agent && subject.serf == Some(SerfHealth::Critical) && testimony.unchanged_for < cooldown;
    (testimony.freshness != Freshness::Stale || lost)
        && testimony.record.epoch == subject.epoch
        && testimony.record.fails >= SUSPECT_FAILS
}

/// Looks at the whole scene.
pub fn guards(scene: &Scene) -> Guards {
    let limits = scene.policy.storm_limits_for(scene.observers.len(), scene.hosts.len());
    let silenced = scene.cooling.as_ref().filter(|c| c.is_on()).and_then(|c| c.cause.silences());
    // An observer whose agent is not passing has no vote; it has no suspects either.
    let seen: BTreeMap<&HaNodeName, BTreeSet<HostName>> = scene
        .observers
        .iter()
        .filter(|(_, observer)| observer.serf == Some(SerfHealth::Passing))
        .map(|(name, _)| (name, suspects_of(scene, name)))
        .collect();
    let doubtful: BTreeSet<HaNodeName> = seen
        .iter()
        .filter(|(name, hosts)| hosts.len() > limits.by_all || silenced == Some(**name))
        .map(|(name, _)| (*name).clone())
        .collect();
    let incidents: BTreeSet<HostName> =
        opened_since(scene, INCIDENTS_COUNT_HOURS).map(|i| i.id.host().clone()).collect();
    let (belief, suspects) = suspects_of_the_site(scene, &seen, &doubtful, &incidents, limits.by_all);
    let marked_in_a_day =
        opened_since(scene, MARKINGS_COUNT_HOURS).filter(|incident| incident.by_votes).count();
    let over = over(scene, &suspects, &incidents, limits);
    Guards { doubtful, belief, suspects, incidents, limits, over, marked_in_a_day }
}

fn opened_since(scene: &Scene, hours: i64) -> impl Iterator<Item = &KnownIncident> {
    // Before the beginning of time everything counts.
    let since = scene.now.saturating_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN);
    scene.incidents.iter().filter(move |incident| incident.opened_at >= since)
}

/// What the site suspects. A quorum that can be believed says it; an ill observer's suspects are its own. Where
/// those that can be believed are fewer, it is a storm only if a quorum agrees on more than the limit: one observer
/// that doubts itself beside one that gossip has lost for a moment is no storm, and must not keep anybody from
/// being marked once that moment is over.
fn suspects_of_the_site(
    scene: &Scene,
    seen: &BTreeMap<&HaNodeName, BTreeSet<HostName>>,
    doubtful: &BTreeSet<HaNodeName>,
    incidents: &BTreeSet<HostName>,
    limit: usize,
) -> (Belief, BTreeSet<HostName>) {
    let believed: Vec<&BTreeSet<HostName>> =
        seen.iter().filter(|(name, _)| !doubtful.contains(**name)).map(|(_, hosts)| hosts).collect();
    let quorum = votes_needed(&scene.policy, scene.observers.len());
    let any: BTreeSet<HostName> = believed.iter().copied().flatten().cloned().collect();
    if believed.len() >= quorum {
        return (Belief::Quorum, any.into_iter().filter(|host| may_be_voted_dead(scene, host)).collect());
    }
    let everybody: BTreeSet<&HostName> = seen.values().flatten().collect();
    let agreed: BTreeSet<HostName> = everybody
        .into_iter()
        .filter(|host| seen.values().filter(|hosts| hosts.contains(*host)).count() >= quorum)
        .cloned()
        .collect();
    match agreed.union(incidents).count() > limit {
        true => (Belief::Quorum, agreed),
        false => (Belief::TooFew, any),
    }
}

/// Whether a suspect may still be voted dead. Where so many passing observers report no failure at
/// all that the rest are no quorum, the path between is at fault and not the host, and a lasting
/// fault of one path must not use up the site's limit. In a real storm nobody stays at no failure:
/// where one has counted two, the others have counted one.
fn may_be_voted_dead(scene: &Scene, host: &HostName) -> bool {
    let electors = electors(&scene.observers, host.as_str());
    let testimonies = scene.subjects.get(host).map(|subject| &subject.testimonies);
    let may_vote = electors.iter().filter(|(name, observer)| {
        observer.serf != Some(SerfHealth::Passing)
            || testimonies.and_then(|all| all.get(*name)).is_some_and(|t| t.record.fails > 0)
    });
    may_vote.count() >= votes_needed(&scene.policy, electors.len())
}
