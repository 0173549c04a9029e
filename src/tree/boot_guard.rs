//! `internal/boot_guard` of a host: the last time that a person overrode its boot guard.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::Record;

/// A person's word that this host's storage and guests are its own, for one boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Format version.
    pub version: u64,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// When, by the host's wall clock.
    pub at: Timestamp,
    /// The boot that it counts for.
    pub boot_id: String,
    /// Whether the tree has it. In the tree always true.
    pub recorded: bool,
}

impl Record for Override {
    const VERSION: u64 = 1;
}
