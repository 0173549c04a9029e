//! Whose power it is, and for how long a person may say that it is off.

use std::fmt;
use std::time::Duration;

use crate::names::{HaNodeName, HostName};

/// The longest that a person's word can count: a shift, and the night after it.
pub const MAX_CONFIRM_TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// What can be fenced: a compute host, or the HA node that held its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// A compute host.
    Host(HostName),
    /// An HA node.
    HaNode(HaNodeName),
}

impl Machine {
    /// The command that changes how it is reached.
    pub fn changed_by(&self) -> String {
        match self {
            Self::Host(name) => format!("nova-ha host add {name} --replace"),
            Self::HaNode(name) => format!("nova-ha ha-node add {name} --replace"),
        }
    }
}

impl From<HostName> for Machine {
    fn from(name: HostName) -> Self {
        Self::Host(name)
    }
}

impl From<HaNodeName> for Machine {
    fn from(name: HaNodeName) -> Self {
        Self::HaNode(name)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::HaNode(name) => name.fmt(f),
        }
    }
}
