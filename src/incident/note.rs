//! `incidents/{id}/preflight/{ha-node}`: why an HA node cannot go on now. Waiting is said aloud.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::HaNodeName;
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// Why this HA node cannot take the incident, or cannot go on with it, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingNote {
    /// Format version.
    pub version: u64,
    /// Who waits.
    pub node: HaNodeName,
    /// For what, each a sentence of its own.
    pub reasons: Vec<String>,
    /// The operator's next commands.
    pub next: Vec<String>,
    /// Wall clock of the first note with these reasons.
    pub since: Timestamp,
}

impl Record for WaitingNote {
    const VERSION: u64 = Kind::WaitingNote.newest();
}
