//! `incidents/{id}/incident`: who opened it and why, and where its journal ends.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::names::{HaNodeName, IncidentId};
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// Where an incident comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Origin {
    /// A quorum of observers.
    Observers,
    /// A person's own order.
    Person {
        /// Who.
        by: String,
    },
    /// Somebody wrote `status/failed` by hand, as with the original.
    Key,
}

/// A person's order stands in for the votes right before the shot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Who.
    pub by: String,
    /// Wall clock.
    pub at: Timestamp,
}

/// The process that works on an incident: value of its lock key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// Format version.
    pub version: u64,
    /// HA node.
    pub node: HaNodeName,
    /// Consul session that holds the lock.
    pub session: String,
    /// Raised by claim and adoption.
    pub term: u64,
    /// Wall clock, for people.
    pub since: Timestamp,
}

impl Record for Holder {
    const VERSION: u64 = Kind::Holder.newest();
}

/// The record that every journal write compares and sets: no two writers can both append.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IncidentRecord {
    /// Format version.
    pub version: u64,
    /// The incident.
    pub id: IncidentId,
    /// Where it comes from.
    pub origin: Origin,
    /// A person's order to go on without votes, if one was given.
    pub order: Option<Order>,
    /// HA node (or machine) that opened it.
    pub opened_by: String,
    /// Wall clock.
    pub opened_at: Timestamp,
    /// Wall clock of the last journal entry.
    pub changed_at: Timestamp,
    /// HA node that works on it, if any; kept when the lock is gone, given up when that node itself
    /// holds the incident.
    pub holder: Option<HaNodeName>,
    /// Sequence of the last journal entry, 0 for none.
    pub head: u64,
    /// The fold of the journal, written in the same transaction as the entry that changed it, so
    /// that lists and guards need one key per incident.
    pub status: Status,
}

impl Record for IncidentRecord {
    const VERSION: u64 = Kind::Incident.newest();
}
