//! `config/bound`: what an operator took from what a machine published about itself (`nova-ha host accept`).
//!
//! A recovery acts by what is bound, and the machine cannot write this key. What it publishes later is compared with it, said
//! where it differs, and never used. A machine without this record is known by its own word only: *first sight*.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::formats::Kind;
use super::record::Record;

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bound {
    /// Format version.
    pub version: u64,
    /// DMI system UUID, as it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_uuid: Option<String>,
    /// DMI system serial number, as it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_serial: Option<String>,
    /// Its md arrays, by UUID in mdadm's form. One that is not here is not taken.
    #[serde(default)]
    pub arrays: BTreeMap<String, BoundArray>,
    /// Types of the filesystems on them that hold its guests (`xfs`). The kernel of an HA node reads them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub filesystems: BTreeSet<String>,
    /// Who accepted it.
    pub by: String,
    /// When, by the clock of the machine where it was typed.
    pub at: jiff::Timestamp,
}

impl Record for Bound {
    const VERSION: u64 = Kind::Bound.newest();
}

/// One md array of a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundArray {
    /// `raid10`, ...
    pub level: String,
    /// The part of its name before the colon; empty where that names no machine.
    pub homehost: String,
    /// Where its members were when it was accepted: a disk's world-wide name, and `/` with the partition's number where it is
    /// one. No other machine's array is looked for there.
    pub places: BTreeSet<String>,
}
