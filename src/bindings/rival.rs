//! Another machine that claims the same.

use std::fmt;

use crate::names::HostName;
use crate::tree::nova_names::TreeMachine;

/// By whose word a machine claims something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An operator bound it.
    Bound,
    /// Its machine published it, and nobody bound it.
    Published,
    /// It has this machine's name, and the machine itself says nothing of it.
    Named,
}

/// Another machine that claims the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rival {
    /// The machine.
    pub machine: TreeMachine,
    /// By whose word.
    pub standing: Standing,
}

impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.standing {
            Standing::Bound => write!(f, "{} is bound to it", self.machine),
            Standing::Published => write!(f, "{} publishes it too", self.machine),
            Standing::Named => write!(f, "it is named after {}", self.machine),
        }
    }
}

/// What binds a host to what it publishes.
pub fn accept(host: &HostName) -> String {
    format!("nova-ha host accept {host} --by NAME   (shows it first)")
}
