//! What the templates are filled with.

use crate::names::{HaNodeName, HostName};
use crate::policy::Policy;

/// The machines of a site, and its policy.
#[derive(Debug, Clone)]
pub struct Site {
    /// All hosts.
    pub hosts: Vec<Machine<HostName>>,
    /// All HA nodes.
    pub ha_nodes: Vec<Machine<HaNodeName>>,
    /// The settings in force.
    pub policy: Policy,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine<N> {
    /// Its name in the tree.
    pub name: N,
    /// What Consul calls it.
    pub consul_node: String,
    /// Whether an operator bound its SSH host key: whoever asks it for that needs no login.
    pub is_known_by_key: bool,
}

/// Where things are on the machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Folder of the executables and of `start-recover`.
    pub bin: String,
    /// Folder with one token file per executable; `None` without ACLs.
    pub tokens: Option<String>,
    /// The user as whom Consul runs checks and watches; `None`: root.
    pub consul_user: Option<String>,
    /// Further checks of every host, as `nova-ha-probe --tcp` takes them.
    pub tcp: Vec<String>,
}
