//! The gates before a host is marked, in order: the question, and a *no* with its reason.

use std::time::Duration;

use super::guard::{Belief, Guards, guards};
use super::limit::{Storm, is_of_the_site, rests};
use super::scene::{Anchor, Scene};
use super::second::{Second, believed};
use super::verdict::{CannotTell, Proof, Verdict, judge};
use crate::names::{HostName, IncidentId};
use crate::tree::foreign::Foreign;

/// Whether a host is to be marked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes, on this.
    Mark(Proof),
    /// No, because.
    No(No),
}

/// Every reason not to mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum No {
    /// Nobody added this host.
    NotConfigured,
    /// Its incident is open.
    OpenIncident(IncidentId),
    /// `failed` is True, and nothing was opened for it yet: it was written by hand, or by the original.
    FailedByKey,
    /// `recovered` is True, and there is no incident of ours: whoever recovered it, we do not touch it.
    Foreign(Foreign),
    /// This epoch's incident has ended; only a reset begins another epoch.
    EpochSpent(IncidentId),
    /// It is in maintenance.
    Maintenance(String),
    /// Somebody sees it answer.
    Alive(String),
    /// Not enough is known.
    CannotTell(CannotTell),
    /// A cool-down is in force.
    Cooldown {
        /// Time left.
        left: Duration,
        /// Its cause.
        cause: String,
    },
    /// Too many at once.
    Storm(Storm),
    /// One host alone over the limit needs a reachable anchor.
    NoAnchor(String),
    /// A second host within the hour is not believed (yet).
    Second(Second),
    /// As many were marked by votes within a day as may be.
    Day {
        /// Marked.
        marked: usize,
        /// The limit.
        limit: usize,
    },
}

impl No {
    /// Whether a person should know: something is unprotected, or a guard stands in the way.
    pub fn needs_attention(&self) -> bool {
        match self {
            No::OpenIncident(_) | No::Maintenance(_) | No::Alive(_) => false,
            // Only a name given by hand gets here: a typing error must not look like *all is well*.
            No::NotConfigured
            // Until its reset nobody marks it, whatever happens to it.
            | No::EpochSpent(_)
            | No::FailedByKey
            | No::Foreign(_)
            | No::Cooldown { .. }
            | No::Storm(_)
            | No::NoAnchor(_)
            | No::Second(_)
            | No::Day { .. } => true,
            No::CannotTell(why) => match why {
                CannotTell::Votes { .. } => false,
                CannotTell::AgentAbsent | CannotTell::AgentAnswers { .. } | CannotTell::LoneObserver(_) => {
                    true
                }
            },
        }
    }

    /// For people: one line.
    pub fn text(&self) -> String {
        match self {
            No::NotConfigured => "nobody configured this host".into(),
            No::OpenIncident(id) => format!("incident {id} is open"),
            No::FailedByKey => "status/failed is True and it has no incident: a sweep opens one".into(),
            No::Foreign(flag) => flag.text(),
            No::EpochSpent(id) => format!("incident {id} has ended; reset the host to protect it again"),
            No::Maintenance(why) => format!("in maintenance ({why})"),
            No::Alive(why) => format!("alive: {why}"),
            No::CannotTell(why) => format!("cannot tell: {}", why.text()),
            // Not how long it still lasts: this is the text of the sweep's check, and must not change by itself.
            No::Cooldown { left: _, cause } => format!("a cool-down is in force ({cause})"),
            No::Storm(storm) => storm.text(),
            No::NoAnchor(why) => format!("no anchor reached ({why}): this node may be the one cut off"),
            No::Second(why) => why.text(),
            No::Day { marked, limit } => format!(
                "{marked} hosts were marked by votes within 24 h, at most {limit} are: from here on a person decides"
            ),
        }
    }
}

/// The decision on one host. Gates that are facts about the host come first, so that a person is
/// told *maintenance* and not *storm*.
pub fn decide(scene: &Scene, host: &HostName) -> Decision {
    decide_with(scene, &guards(scene), host)
}

/// As [`decide`], with guards computed once for many hosts.
pub fn decide_with(scene: &Scene, guards: &Guards, host: &HostName) -> Decision {
    let no = Decision::No;
    if !scene.hosts.contains(host) {
        return no(No::NotConfigured);
    }
    let Some(subject) = scene.subjects.get(host) else {
        return no(No::CannotTell(CannotTell::Votes {
            have: 0,
            need: 1,
            absent: "no observer reports on it".into(),
        }));
    };
    if let Some(incident) = scene.open_incident(host) {
        return no(No::OpenIncident(incident.id.clone()));
    }
    if let Some(ended) = scene.incidents.iter().find(|i| i.id.host() == host && i.id.epoch() == subject.epoch)
    {
        return no(No::EpochSpent(ended.id.clone()));
    }
    if subject.recovered {
        return no(No::Foreign(Foreign::Recovered { host: host.clone() }));
    }
    if subject.failed {
        return no(No::FailedByKey);
    }
    if let Some(why) = &subject.maintenance {
        return no(No::Maintenance(why.clone()));
    }
    let verdict = judge(scene, host.as_str(), subject, &guards.doubtful);
    let storm = guards.over.storm_of(scene, host);
    let proof = match (verdict, storm) {
        (Verdict::Dead(proof), _) => proof,
        (Verdict::Alive(why), _) => return no(No::Alive(why)),
        // Where votes are missing because everybody doubts, the storm is the better answer. Where too few can be
        // believed to call it one, *cannot tell* is.
        (Verdict::CannotTell(CannotTell::Votes { .. }), Some(storm))
            if guards.suspects.contains(host) && guards.belief == Belief::Quorum =>
        {
            return no(No::Storm(storm.clone()));
        }
        (Verdict::CannotTell(why), _) => return no(No::CannotTell(why)),
    };
    // The storm first: while it lasts it is said, and its cool-down begins anew.
    if let Some(storm) = storm {
        return no(No::Storm(storm.clone()));
    }
    if let Some(cooling) = &scene.cooling
        && cooling.is_on()
        && rests(scene, &cooling.cause, host)
    {
        return no(No::Cooldown { left: cooling.left, cause: cooling.cause.text() });
    }
    if guards.over.alone_in(scene, host).is_some() {
        match &scene.anchor {
            Anchor::Reached(_) => {}
            Anchor::NotReached(why) => return no(No::NoAnchor(why.clone())),
            Anchor::NotAsked => return no(No::NoAnchor("none was asked".into())),
        }
    }
    if guards.over.needs_all
        && let Err(why) = believed(scene, guards, host, subject, &proof)
    {
        return no(No::Second(why));
    }
    let limit = scene.policy.storm_limit_day_for(scene.hosts.len());
    if guards.marked_in_a_day >= limit {
        return no(No::Day { marked: guards.marked_in_a_day, limit });
    }
    Decision::Mark(proof)
}

/// The same question about a host whose incident is open: whether it would be marked now, by votes and guards of
/// now, if it were not yet. Its own incident and flags are looked away from, and so is the day's limit, which is
/// about markings.
pub fn decide_again(scene: &Scene, host: &HostName) -> Decision {
    let mut again = scene.clone();
    again.incidents.retain(|incident| !(incident.open && incident.id.host() == host));
    again.policy.storm_limit_day = Some(usize::MAX);
    if let Some(subject) = again.subjects.get_mut(host) {
        (subject.failed, subject.recovered) = (false, false);
    }
    decide(&again, host)
}

/// What stops the power-off of an HA node, which no host's marking is: a storm of the whole site, or a cool-down that is
/// about the whole site.
pub fn stops_an_ha_node(scene: &Scene) -> Option<No> {
    let whole_site = |storm: &&Storm| storm.domain.is_none();
    if let Some(storm) = guards(scene).over.storms.iter().find(whole_site) {
        return Some(No::Storm(storm.clone()));
    }
    let cooling =
        scene.cooling.as_ref().filter(|cooling| cooling.is_on() && is_of_the_site(&cooling.cause))?;
    Some(No::Cooldown { left: cooling.left, cause: cooling.cause.text() })
}
