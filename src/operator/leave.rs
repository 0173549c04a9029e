//! Whether what is about to be set may be run and read where it is needed: each HA node's root has a word in it.

use std::env;

use super::OperatorError;
use super::cluster::Cluster;
use super::machine_options::Setting;
use crate::keys::MachineKeys;
use crate::local::{self, Local};
use crate::named::Named;
use crate::names::HaNodeName;
use crate::tree::nova_names::TreeMachine;

/// This machine's name in the tree: `NOVA_HA_NODE`, or its host name.
pub(super) fn own_name() -> String {
    let given = env::var("NOVA_HA_NODE").ok().filter(|name| !name.is_empty());
    given.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}

/// What is set of a machine, and what of it each HA node's root has to allow.
pub(super) struct BeingSet<'a> {
    /// The machine.
    pub(super) machine: &'a TreeMachine,
    /// Its keys.
    pub(super) keys: &'a MachineKeys,
    /// What they are to have.
    pub(super) settings: &'a [Setting],
    /// *added*, *changed*.
    pub(super) doing: &'static str,
}

/// Refuses what this machine would have to allow, being one of the HA nodes that need it, and does not. Of the others, and
/// where this machine has no local.toml, says what has to be allowed there; nothing where every HA node allows it by itself.
///
/// # Errors
/// This HA node's root does not allow it.
pub(super) fn ask(being_set: &BeingSet<'_>, cluster: &Cluster) -> Result<Vec<String>, OperatorError> {
    let value = |key: &str| {
        let set = being_set.settings.iter().find(|(known, _)| known == key);
        set.map(|(_, value)| value.as_slice())
    };
    let by_all = Named::of_machine(being_set.keys, value);
    let by_itself = Named::of_storage(being_set.keys, value);
    let mut nodes: Vec<HaNodeName> = cluster.ha_nodes.clone();
    if let TreeMachine::HaNode(new) = being_set.machine
        && !nodes.contains(new)
    {
        nodes.push(new.clone());
    }
    let me = own_name();
    let mut lines = Vec::new();
    for node in nodes {
        let mut named = by_all.clone();
        if matches!(being_set.machine, TreeMachine::HaNode(own) if *own == node) {
            named.merge(by_itself.clone());
        }
        let is_here = node.as_str() == me;
        let local = match is_here {
            true => Local::read(&local::file()),
            false => Local::unseen(),
        };
        if let Some(refused) = named.refused(&local).next() {
            return Err(OperatorError::NotNow {
                name: being_set.machine.name().to_owned(),
                doing: being_set.doing,
                why: refused.to_string(),
                next: Some(refused.hint().to_owned()),
            });
        }
        let asked: Vec<String> = named.first_sights(&local).map(|(asked, _)| asked.to_string()).collect();
        if !asked.is_empty() {
            lines.push(format!("on {node}, as root: nova-ha local adopt   ({})", asked.join("; ")));
        }
    }
    Ok(lines)
}
