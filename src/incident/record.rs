//! `incidents/{id}/incident`: who opened it and why, and where its journal ends.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::status::Status;
use crate::names::{HaNodeName, IncidentId};
use crate::tree::formats::Kind;
use crate::tree::record::Record;
use crate::tree::sign::Sign;

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

/// A person's order stands in for the votes right before the shot, for a limited time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// Who.
    pub by: String,
    /// When, by the wall clock of where it was given.
    pub at: Timestamp,
    /// For how long it counts; absent means [`Order::TTL`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// What said that the host lives when the order was given: the person knew it, and gave the order
    /// although. A sign of another kind is newer than the order.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub although: BTreeSet<Sign>,
    /// Whether *started: fence* was written on it, while it counted: it is good for that fence, however
    /// long that takes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub used: bool,
}

impl Order {
    /// For how long an order counts, unless it says otherwise: long enough for a BMC that is slow and an HA
    /// node that is busy, shorter than a repair.
    pub const TTL: Duration = Duration::from_secs(15 * 60);

    /// The longest that an order can count, as a person's word.
    pub const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);

    /// An order that counts for the usual time, of a person who saw no sign of life.
    pub fn new(by: String, at: Timestamp) -> Self {
        Self { by, at, ttl_seconds: None, although: BTreeSet::new(), used: false }
    }

    /// The version of the incident record that first has all that this order says.
    pub fn since(&self) -> u64 {
        match self.ttl_seconds.is_some() || !self.although.is_empty() || self.used {
            true => 2,
            false => 1,
        }
    }

    /// For how long it counts. A longer time than may be given is cut.
    pub fn ttl(&self) -> Duration {
        self.ttl_seconds.map_or(Self::TTL, Duration::from_secs).min(Self::MAX_TTL)
    }
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

    fn stored(&self) -> Cow<'_, Self> {
        let version = match self.status.retry {
            true => 3,
            false => self.order.as_ref().map_or(1, Order::since),
        };
        Cow::Owned(Self { version, ..self.clone() })
    }
}
