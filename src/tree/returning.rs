//! `internal/returning` of a host: `nova-ha rejoin` is giving it back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::names::IncidentId;

/// Written by `rejoin` while the host lives and its incident has ended, taken back by the reset. Its
/// nova-compute may run from here on, still forced down, so that Nova settles its evacuations; its
/// disks are not given back by it. Counts for this incident only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Returning {
    /// Format version.
    pub version: u64,
    /// The incident that it was recovered in.
    pub incident: IncidentId,
    /// Who gives it back.
    pub by: String,
    /// Since when, wall clock.
    pub at: Timestamp,
}

impl Record for Returning {
    const VERSION: u64 = 1;
}
