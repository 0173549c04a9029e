//! `ha_cluster/meta`: the sentinel that tells an empty tree from a denied one.

use serde::{Deserialize, Serialize};

use super::record::{self, Record};
use super::{Snapshot, TreeError};
use crate::keys;

/// Written by `nova-ha init`, never changed by an executable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Format version.
    pub version: u64,
    /// Made anew by each `init`: a Consul that was rebuilt has another one, which boot-guard compares.
    pub generation: String,
    /// Wall clock, for people.
    pub created_at: jiff::Timestamp,
}

impl Record for Meta {
    const VERSION: u64 = 1;
}

impl Meta {
    /// The sentinel of a snapshot; its absence is *cannot tell*, never *empty*.
    pub fn of(snapshot: &Snapshot) -> Result<Meta, TreeError> {
        let entry = snapshot.get(keys::META).ok_or(TreeError::NoMeta)?;
        record::parse(keys::META, &entry.value)
    }
}
