//! What was read, as plain data: the only input of the judge.

use std::collections::{BTreeMap, BTreeSet};

use std::time::Duration;

use jiff::Timestamp;

use super::freshness::Freshness;
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::policy::Policy;
use crate::store::SerfHealth;
use crate::tree::cooldown::Cause;
use crate::tree::observer::ObserverRecord;

/// Whether something was reached that a cut-off observer could not reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Anchor {
    /// It answered.
    Reached(String),
    /// None answered.
    NotReached(String),
    /// Nobody looked.
    NotAsked,
}

/// One configured HA node in its watching role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observer {
    /// Its own `serfHealth`; `None` when the catalog does not have it.
    pub serf: Option<SerfHealth>,
}

/// One observer's record of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Testimony {
    /// What the probe wrote.
    pub record: ObserverRecord,
    /// Consul's index of that write.
    pub modify_index: u64,
    /// Whether it is of now.
    pub freshness: Freshness,
    /// For how long this machine has seen this very record, where it is stale: not what its writer does now.
    pub unchanged_for: Duration,
}

/// A record that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Why, for people.
    pub why: String,
    /// Consul's index of its key: it may say that the machine failed as late as that.
    pub modify_index: u64,
}

/// A machine that may be dead: a host, or an HA node when its incident is to be adopted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its current epoch.
    pub epoch: Epoch,
    /// Whether it runs a Consul agent.
    pub has_agent: bool,
    /// Its `serfHealth`; `None` when the catalog does not have it.
    pub serf: Option<SerfHealth>,
    /// Records by observer; a missing one is *cannot tell*.
    pub testimonies: BTreeMap<HaNodeName, Testimony>,
    /// Records that cannot be understood (garbage, a newer format), by whose they are. Such a record costs its observer the
    /// vote, and nobody else anything.
    pub unreadable: BTreeMap<HaNodeName, Unreadable>,
    /// Why it is in maintenance, if it is.
    pub maintenance: Option<String>,
    /// `status/failed`.
    pub failed: bool,
    /// `status/recovered`.
    pub recovered: bool,
}

/// A cool-down as this machine counts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cooling {
    /// Why.
    pub cause: Cause,
    /// What is left of it; zero when it is over.
    pub left: Duration,
}

impl Cooling {
    /// Whether it still holds.
    pub fn is_on(&self) -> bool {
        !self.left.is_zero()
    }
}

/// An incident as the guards count it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownIncident {
    /// Which.
    pub id: IncidentId,
    /// Whether it has not ended.
    pub open: bool,
    /// Wall clock.
    pub opened_at: Timestamp,
    /// Whether its host was marked by votes (and not by a person).
    pub by_votes: bool,
    /// Whether its record can be understood; one that cannot counts as open, new and by votes.
    pub is_readable: bool,
}

/// Everything that is judged on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The settings.
    pub policy: Policy,
    /// All configured HA nodes.
    pub observers: BTreeMap<HaNodeName, Observer>,
    /// All configured hosts.
    pub hosts: BTreeSet<HostName>,
    /// Hosts with observer records, and those that were asked about.
    pub subjects: BTreeMap<HostName, Subject>,
    /// All incidents in the tree.
    pub incidents: Vec<KnownIncident>,
    /// A cool-down that somebody began.
    pub cooling: Option<Cooling>,
    /// Whether this observer reaches anything.
    pub anchor: Anchor,
    /// Wall clock of the judging machine; used for the last hour and the last day of the storm guard only.
    pub now: Timestamp,
}

impl Scene {
    /// The open incident of a host, if any.
    pub fn open_incident(&self, host: &HostName) -> Option<&KnownIncident> {
        self.incidents.iter().find(|incident| incident.open && incident.id.host() == host)
    }

    /// Whether a host has any incident in its current epoch, open or ended: then it is not a
    /// suspect but a known case.
    pub fn is_known_case(&self, host: &HostName, epoch: Epoch) -> bool {
        self.incidents
            .iter()
            .any(|incident| incident.id.host() == host && (incident.open || incident.id.epoch() == epoch))
    }
}
