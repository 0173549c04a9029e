//! Who watches the machines of the tree: the checks of the HA nodes, for the commands that show machines.

use super::cluster::{Catalog, Cluster, ConsulSays};
use super::fault::Fault;
use crate::judge::quorum::votes_needed;
use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HaNodeName};
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::machine::consul_node;
use crate::tree::observer::ObserverRecord;
use crate::watched::{Agent, Sight, Watch, Watcher};

/// What Consul says of our checks on all HA nodes.
#[derive(Debug)]
pub struct Watching {
    watch: Watch,
}

impl Watching {
    /// Asks Consul for the checks of each HA node.
    pub async fn read(store: &dyn Store, cluster: &Cluster, catalog: &Catalog) -> Self {
        let tree = &cluster.snapshot;
        let watchers = cluster.ha_nodes.iter().map(|node| {
            let keys = keys::ha_node(node);
            let agent = match catalog.says(tree, &keys, node.as_str()) {
                Ok(ConsulSays::Passing) => Agent::Passing,
                Ok(ConsulSays::Critical | ConsulSays::Absent | ConsulSays::NoAgent) => Agent::Lost,
                Ok(ConsulSays::CannotTell) => Agent::CannotTell("this token does not see its agent".into()),
                Err(error) => Agent::CannotTell(error.to_string()),
            };
            let named = consul_node(tree, &keys, node.as_str());
            Watcher { name: node.clone(), consul_node: named.unwrap_or_else(|_| node.to_string()), agent }
        });
        Self { watch: Watch::read(store, watchers.collect()).await }
    }

    /// Who sees a machine.
    pub(super) fn sight(&self, cluster: &Cluster, keys: &MachineKeys, name: &str) -> Sight {
        let epoch = cluster.snapshot.number(&keys.epoch()).ok().map(|epoch| Epoch(epoch.unwrap_or(0)));
        let failing = |node: &HaNodeName| {
            let record: Option<ObserverRecord> = cluster.snapshot.record(&keys.observer(node)).ok().flatten();
            record.is_some_and(|record| record.fails > 0 && Some(record.epoch) == epoch)
        };
        self.watch.sight(name, failing)
    }

    /// Votes that it takes to mark a machine, among so many HA nodes.
    pub(super) fn needed(policy: Option<&Policy>, sight: &Sight) -> usize {
        let electors = sight.sees.len() + sight.blind.len();
        policy.map_or(1, |policy| votes_needed(policy, electors))
    }

    /// What is wrong with an HA node as a watcher, whatever it watches; each with what to type.
    pub(super) fn warnings(&self) -> Vec<Fault> {
        let generate = |node: &HaNodeName| {
            Some(format!(
                "on {node}: nova-ha generate consul-config --ha-node {node} --out DIR; consul reload"
            ))
        };
        let mut warnings = Vec::new();
        for node in self.watch.lost() {
            let what = format!("HA node {node} sees nothing: its Consul agent does not pass");
            warnings.push(Fault { what, next: Some(format!("look at Consul on {node}: consul members")) });
        }
        for node in self.watch.without_a_sweep() {
            let what = format!("Consul runs no sweep on HA node {node} (no check nova-ha-mark-failed)");
            warnings.push(Fault { what, next: generate(&node) });
        }
        for node in self.watch.of_the_node() {
            let what = format!(
                "checks of nova-ha on HA node {node} belong to the node: a dead host takes every other service of \
                 {node} out of Consul's DNS"
            );
            warnings.push(Fault { what, next: generate(&node) });
        }
        warnings
    }
}
