//! `incidents/{id}/evidence`: what an incident was judged on, at most 64 KiB.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::HaNodeName;
use crate::tree::formats::Kind;
use crate::tree::observer::PlaneRecord;
use crate::tree::record::Record;

/// Enough planes and observers for any site, bounded so that the record stays below 64 KiB.
pub const MAX_VOTES: usize = 64;

/// One vote as it was counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CountedVote {
    /// Who.
    pub observer: HaNodeName,
    /// Consecutive fails.
    pub fails: u64,
    /// Sequence of its record.
    pub sequence: u64,
    /// Consul's index of its record.
    pub modify_index: u64,
    /// Plane by plane.
    pub planes: BTreeMap<String, PlaneRecord>,
    /// The probe's own words.
    pub why: String,
}

/// What an incident was judged on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Format version.
    pub version: u64,
    /// HA node (or machine) that judged.
    pub judged_by: String,
    /// Wall clock.
    pub at: Timestamp,
    /// About when the host began to fail, from the votes.
    pub detected_at: Timestamp,
    /// One line: the verdict and the rule that it rests on.
    pub verdict: String,
    /// Votes counted.
    pub votes: Vec<CountedVote>,
    /// Votes needed.
    pub quorum: usize,
    /// What `serfHealth` said.
    pub serf: String,
    /// Suspects and incidents counted by the storm guard, and its limit.
    pub storm: String,
    /// The anchor, where one was asked for.
    pub anchor: Option<String>,
}

impl Record for Evidence {
    const VERSION: u64 = Kind::Evidence.newest();
}
