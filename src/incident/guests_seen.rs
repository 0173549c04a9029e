//! `incidents/{id}/guests_seen`: where Nova says otherwise than the ledger of an incident of guests that it left on HA nodes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::HaNodeName;
use crate::tree::record::Record;

/// What Nova says of one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case", deny_unknown_fields)]
pub enum NovaSays {
    /// It is deleted.
    Gone,
    /// It is on another host, or on none: a person has seen to it.
    Elsewhere {
        /// Where.
        host: Option<String>,
    },
    /// It is where the ledger says, and was to run; Nova shows it in this vm_state.
    NotActive {
        /// Which.
        vm_state: String,
    },
}

impl NovaSays {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            NovaSays::Gone => "is deleted".into(),
            NovaSays::Elsewhere { host: Some(host) } => format!("is on {host}"),
            NovaSays::Elsewhere { host: None } => "is on no host".into(),
            NovaSays::NotActive { vm_state } => format!("is there, and {vm_state}"),
        }
    }

    /// Whether the HA node of the ledger has it no more.
    pub fn has_left(&self) -> bool {
        match self {
            NovaSays::Gone | NovaSays::Elsewhere { .. } => true,
            NovaSays::NotActive { .. } => false,
        }
    }
}

/// One guest of which Nova says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Differs {
    /// Nova's server id.
    pub server: String,
    /// Its name, by the ledger.
    pub name: String,
    /// What Nova says.
    pub nova: NovaSays,
}

/// All of them, as an HA node saw it last. Absent where Nova says what the ledger says, or was not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestsSeen {
    /// Format version.
    pub version: u64,
    /// Which HA node asked.
    pub by: HaNodeName,
    /// Wall clock of the first answer like this.
    pub since: Timestamp,
    /// By server id.
    pub differs: Vec<Differs>,
}

impl Record for GuestsSeen {
    const VERSION: u64 = 1;
}
