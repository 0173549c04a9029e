//! `words/{id}/settled/{server}`: a person's word about one held guest. From then on nobody waits for it, and no
//! recovery looks at it again.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::Entry;
use crate::tree::TreeError;
use crate::tree::formats::Kind;
use crate::tree::record::{Record, parse};

/// What became of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case", deny_unknown_fields)]
pub enum How {
    /// The person evacuated it.
    RecoveredOn {
        /// Nova host where it is now.
        host: String,
    },
    /// It waits for its host.
    Stays,
    /// There is nothing left to recover.
    Lost,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            How::RecoveredOn { host } => write!(f, "recovered on {host}"),
            How::Stays => f.write_str("stays where it is"),
            How::Lost => f.write_str("lost"),
        }
    }
}

/// The word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Format version.
    pub version: u64,
    /// Nova's server id.
    pub server: String,
    /// What became of it.
    pub how: How,
    /// Who says so.
    pub by: String,
    /// Wall clock.
    pub at: Timestamp,
}

impl Record for Settled {
    const VERSION: u64 = Kind::Settled.newest();
}

/// The guests of which somebody said what became of them, by id.
///
/// # Errors
/// A word cannot be understood: whether that guest is settled nobody knows.
pub fn servers<'a>(words: impl IntoIterator<Item = &'a Entry>) -> Result<BTreeSet<String>, TreeError> {
    words.into_iter().map(|stored| Ok(parse::<Settled>(&stored.key, &stored.value)?.server)).collect()
}
