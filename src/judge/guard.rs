//! Self-doubt and the storm guard: whether so many failures can be believed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;

use super::freshness::Freshness;
use super::scene::{Scene, Subject, Testimony};
use super::verdict::{electors, votes_needed};
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::store::SerfHealth;

/// Fails from which a host is a suspect. Below the threshold, so that hosts that die together are
/// all counted when the first of them reaches it.
pub const SUSPECT_FAILS: u64 = 2;

/// How long an incident counts against the limit, also when it has ended: hosts that die one after the
/// other for one cause are one storm. By the wall clock; whoever removes incidents leaves these.
pub const INCIDENTS_COUNT_HOURS: i64 = 1;

/// What the guards found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guards {
    /// Observers that see more suspects than the limit, or did within the cool-down: their
    /// records do not count.
    pub doubtful: BTreeSet<HaNodeName>,
    /// Hosts suspected by an observer that can be believed; where those are fewer than a quorum,
    /// by anybody.
    pub suspects: BTreeSet<HostName>,
    /// Open incidents and those opened in the last hour.
    pub incidents: BTreeSet<HostName>,
    /// The limit.
    pub limit: usize,
    /// What is over its limit, if anything is and more than one host is at stake.
    pub storm: Option<Storm>,
    /// What is over its limit while exactly one host is suspect and nothing is open: that one may
    /// always be marked, given the anchor, so that small sites are protected too.
    pub one_alone: Option<Storm>,
}

/// The storm guard's *no*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storm {
    /// A failure domain's name, or the whole site.
    pub domain: Option<String>,
    /// Hosts counted.
    pub counted: usize,
    /// The limit they passed.
    pub limit: usize,
    /// Those among the incidents counted that nobody can read: they may be over long ago.
    pub unreadable: Vec<IncidentId>,
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
        .filter(|(_, subject)| subject.testimonies.get(observer).is_some_and(|t| suspects(t, subject)))
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
/// seen one host at a time. An observer that sees the host answer again writes so.
fn suspects(testimony: &Testimony, subject: &Subject) -> bool {
    let lost = subject.has_agent && subject.serf == Some(SerfHealth::Critical);
    (testimony.freshness != Freshness::Stale || lost)
        && testimony.record.epoch == subject.epoch
        && testimony.record.fails >= SUSPECT_FAILS
}

/// Looks at the whole scene.
pub fn guards(scene: &Scene) -> Guards {
    let limit = scene.policy.storm_limit_for(scene.observers.len(), scene.hosts.len());
    // An observer whose agent is not passing has no vote; it has no suspects either.
    let seen: BTreeMap<&HaNodeName, BTreeSet<HostName>> = scene
        .observers
        .iter()
        .filter(|(_, observer)| observer.serf == Some(SerfHealth::Passing))
        .map(|(name, _)| (name, suspects_of(scene, name)))
        .collect();
    let silenced = scene.cooling.as_ref().filter(|c| c.is_on()).and_then(|c| c.cause.silences());
    let doubtful: BTreeSet<HaNodeName> = seen
        .iter()
        .filter(|(name, hosts)| hosts.len() > limit || silenced == Some(**name))
        .map(|(name, _)| (*name).clone())
        .collect();
    let believed = || seen.iter().filter(|(name, _)| !doubtful.contains(**name));
    // Where those that can be believed are too few to mark anything, it is a storm and not one ill
    // observer: count what anybody sees.
    let quorum = votes_needed(&scene.policy, scene.observers.len());
    let suspects: BTreeSet<HostName> = if believed().count() < quorum {
        seen.values().flatten().cloned().collect()
    } else {
        believed()
            .flat_map(|(_, hosts)| hosts)
            .filter(|host| may_be_voted_dead(scene, host))
            .cloned()
            .collect()
    };
    let counted_since = SignedDuration::from_hours(INCIDENTS_COUNT_HOURS);
    let counted_since = scene.now.saturating_sub(counted_since).unwrap_or(scene.now);
    let incidents: BTreeSet<HostName> = scene
        .incidents
        .iter()
        .filter(|incident| incident.open || incident.opened_at >= counted_since)
        .map(|incident| incident.id.host().clone())
        .collect();
    let mut guards = Guards { doubtful, suspects, incidents, limit, storm: None, one_alone: None };
    let over = over_a_limit(scene, &guards);
    if guards.suspects.len() == 1 && !scene.incidents.iter().any(|incident| incident.open) {
        guards.one_alone = over;
    } else {
        guards.storm = over;
    }
    guards
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

fn over_a_limit(scene: &Scene, guards: &Guards) -> Option<Storm> {
    let all: BTreeSet<&HostName> = guards.suspects.union(&guards.incidents).collect();
    let unreadable = |of: &dyn Fn(&HostName) -> bool| {
        let unread =
            scene.incidents.iter().filter(|incident| !incident.is_readable && of(incident.id.host()));
        unread.map(|incident| incident.id.clone()).collect()
    };
    if all.len() > guards.limit {
        let unreadable = unreadable(&|_| true);
        return Some(Storm { domain: None, counted: all.len(), limit: guards.limit, unreadable });
    }
    scene.policy.domains.iter().find_map(|domain| {
        let is_in = |host: &HostName| domain.hosts.iter().any(|d| host.same_ignoring_case(d));
        let counted = all.iter().filter(|host| is_in(host)).count();
        (counted > domain.limit).then(|| Storm {
            domain: Some(domain.name.clone()),
            counted,
            limit: domain.limit,
            unreadable: unreadable(&is_in),
        })
    })
}
