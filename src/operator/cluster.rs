//! The whole tree in one view, for commands and screens.
//!
//! Machines are read in one transaction (one index); incidents follow, each by its own record. A
//! tree whose sentinel is not visible is refused: what a token may not read looks empty.

use std::collections::BTreeSet;

use futures_util::future::join_all;

use super::OperatorError;
use super::error::tree;
use crate::bindings::Claims;
use crate::incident::{IncidentRecord, opening};
use crate::keys::{self, MachineKeys};
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::store::{Op, SerfHealth, Store, StoreError};
use crate::tree::formats::Formats;
use crate::tree::incidents::IncidentNames;
use crate::tree::meta::Meta;
use crate::tree::nova_names::{NovaNames, TreeMachine};
use crate::tree::{Snapshot, TreeError, machine};

/// Everything but the incidents' journals.
#[derive(Debug)]
pub struct Cluster {
    /// What was read.
    pub snapshot: Snapshot,
    /// The sentinel.
    pub meta: Meta,
    /// Hosts by name.
    pub hosts: Vec<HostName>,
    /// HA nodes by name.
    pub ha_nodes: Vec<HaNodeName>,
    /// Which of Nova's hosts each of them is.
    pub nova_names: NovaNames,
    /// What each of them is bound to, and what it claims.
    pub claims: Claims,
    /// Incidents by id, whose record may or may not be readable.
    pub incidents: Vec<IncidentId>,
    /// Keys that belong to no machine and no incident, because their names are none.
    pub strays: Vec<String>,
    /// Machines of which this token does not see how they are powered off: their folder in the tree.
    pub hidden: BTreeSet<String>,
}

impl Cluster {
    /// Reads it; `doing` completes *cannot ...*.
    pub async fn read(store: &dyn Store, doing: &str) -> Result<Self, OperatorError> {
        let prefixes = [
            keys::META,
            keys::POLICY,
            keys::COOLDOWN,
            keys::RECOVERY_QUEUE,
            keys::MACHINES_ADDED,
            keys::HOSTS,
            keys::HA_NODES,
        ];
        let prefixes: Vec<String> = prefixes.into_iter().map(str::to_owned).collect();
        let mut snapshot = Snapshot::read(store, "the tree", &prefixes).await.map_err(tree(doing))?;
        let meta = Meta::of(&snapshot).map_err(tree(doing))?;
        let names = IncidentNames::list(store).await.map_err(tree(doing))?;
        let records = names.records();
        let IncidentNames { ids: incidents, strays, .. } = names;
        let mut strays: BTreeSet<String> = strays.into_iter().collect();
        let records = Snapshot::read(store, keys::INCIDENTS, &records).await.map_err(tree(doing))?;
        for folder in [keys::INCIDENTS, keys::OPENED] {
            snapshot.extend(records.below(folder).cloned());
        }
        let hosts = named(&snapshot, keys::HOSTS, keys::host_of, &mut strays);
        let ha_nodes = named(&snapshot, keys::HA_NODES, keys::ha_node_of, &mut strays);
        let machines = hosts.iter().cloned().map(TreeMachine::Host);
        let machines = machines.chain(ha_nodes.iter().cloned().map(TreeMachine::HaNode));
        // A name that nobody added is no machine.
        let is_added = |machine: &TreeMachine| snapshot.get(&machine.keys().general()).is_some();
        let machines: Vec<TreeMachine> = machines.filter(is_added).collect();
        let nova_names = NovaNames::of(&snapshot, machines.iter().cloned());
        let hidden = hidden(store, &snapshot, &machines).await;
        let claims = Claims::of(&snapshot, machines);
        let strays = strays.into_iter().collect();
        Ok(Self { snapshot, meta, hosts, ha_nodes, nova_names, claims, incidents, strays, hidden })
    }

    /// The host of this exact name.
    pub fn host(&self, name: &str) -> Result<HostName, OperatorError> {
        known("host", name, &self.hosts)
    }

    /// The HA node of this exact name.
    pub fn ha_node(&self, name: &str) -> Result<HaNodeName, OperatorError> {
        known("HA node", name, &self.ha_nodes)
    }

    /// The incident of this exact id.
    pub fn incident(&self, id: &IncidentId) -> Result<IncidentRecord, OperatorError> {
        let doing = || format!("read incident {id}");
        match opening::record_of(&self.snapshot, id).map_err(tree(doing()))? {
            Some(record) => Ok(record),
            None => {
                let like = self.incidents.iter().find(|known| known.host() == id.host());
                Err(OperatorError::Unknown {
                    what: "incident",
                    name: id.to_string(),
                    like: like.map(ToString::to_string),
                })
            }
        }
    }

    /// The open incident of a host. A record that cannot be read may be an open one, so it is an
    /// error and not *none*.
    pub fn open_incident(&self, host: &HostName) -> Result<Option<IncidentId>, TreeError> {
        for id in self.incidents.iter().filter(|id| id.host() == host) {
            let record = self.record(id)?;
            if !record.status.is_over() {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    /// The record of an incident that is there.
    ///
    /// # Errors
    /// It cannot be understood, or was not read.
    pub fn record(&self, id: &IncidentId) -> Result<IncidentRecord, TreeError> {
        let missing = || TreeError::Missing { key: keys::incident(id).incident() };
        opening::record_of(&self.snapshot, id)?.ok_or_else(missing)
    }

    /// What the configured HA nodes read: asked before anything is written that an older build refuses.
    pub fn formats(&self) -> Formats {
        let is_configured = |node: &&HaNodeName| self.snapshot.get(&keys::ha_node(node).general()).is_some();
        Formats::of(&self.snapshot, self.ha_nodes.iter().filter(is_configured))
    }

    /// The incident of a host's epoch, open or ended, where its record can be read.
    pub fn last_incident(&self, host: &str, epoch: Option<u64>) -> Option<IncidentRecord> {
        let of_it = |id: &&IncidentId| id.host().as_str() == host && Some(id.epoch().0) == epoch;
        let id = self.incidents.iter().find(of_it)?;
        self.record(id).ok()
    }

    /// The sentinel as it was seen: a tree that was rebuilt meanwhile refuses the transaction.
    pub fn meta_unchanged(&self) -> Op {
        Op::unchanged(keys::META, self.snapshot.get(keys::META))
    }
}

fn named<N: Ord>(
    snapshot: &Snapshot,
    prefix: &'static str,
    owner: fn(&str) -> Option<N>,
    strays: &mut BTreeSet<String>,
) -> Vec<N> {
    let mut names = BTreeSet::new();
    for entry in snapshot.below(prefix) {
        match owner(&entry.key) {
            Some(name) => {
                names.insert(name);
            }
            // The folder's own key is nobody's.
            None if entry.key == prefix => {}
            None => {
                strays.insert(entry.key.clone());
            }
        }
    }
    names.into_iter().collect()
}

fn known<N: Clone + ToString>(what: &'static str, name: &str, names: &[N]) -> Result<N, OperatorError> {
    if let Some(known) = names.iter().find(|known| known.to_string() == name) {
        return Ok(known.clone());
    }
    let like = names.iter().map(ToString::to_string).find(|known| is_like(known, name));
    Err(OperatorError::Unknown { what, name: name.into(), like })
}

/// Same in another case, same short name, or at most two letters off.
fn is_like(known: &str, name: &str) -> bool {
    let (known, name) = (known.to_ascii_lowercase(), name.to_ascii_lowercase());
    known == name
        || known.split('.').next() == name.split('.').next()
        || (known.len() == name.len() && known.bytes().zip(name.bytes()).filter(|(a, b)| a != b).count() <= 2)
}

/// What Consul's catalog says of a machine. Never more than it says: a node that is not in the
/// answer may be absent, or hidden from this token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsulSays {
    /// `serfHealth` passes.
    Passing,
    /// `serfHealth` is critical.
    Critical,
    /// The catalog does not have it: its agent left, was reaped, or never joined.
    Absent,
    /// `config/agent` says that it runs none.
    NoAgent,
    /// No answer that can be believed.
    CannotTell,
}

impl ConsulSays {
    /// As it is shown.
    pub fn word(self) -> &'static str {
        match self {
            ConsulSays::Passing => "passing",
            ConsulSays::Critical => "CRITICAL",
            ConsulSays::Absent => "ABSENT",
            ConsulSays::NoAgent => "no agent",
            ConsulSays::CannotTell => "cannot tell",
        }
    }
}

/// The catalog's nodes, if its answer can be believed.
#[derive(Debug)]
pub struct Catalog {
    nodes: Vec<(String, SerfHealth)>,
    /// Our own node is in the answer: a node that is not in it is absent, not hidden.
    complete: bool,
    /// Why the answer cannot be believed in full.
    pub doubt: Option<String>,
}

impl Catalog {
    /// Asks Consul.
    pub async fn read(store: &dyn Store) -> Self {
        let nodes = match store.serf_health().await {
            Ok(nodes) => nodes,
            Err(error) => {
                let doubt = Some(format!("serfHealth cannot be read: {error}"));
                return Self { nodes: Vec::new(), complete: false, doubt };
            }
        };
        let own = store.own_node().await;
        let complete =
            own.as_ref().is_ok_and(|own| nodes.iter().any(|health| health.node.eq_ignore_ascii_case(own)));
        let doubt = match own {
            _ if complete => None,
            Err(error) => Some(format!("the agent's own name cannot be read: {error}")),
            Ok(own) => Some(format!(
                "Consul's answer lacks the agent that gave it ({own}): the token may not read all nodes"
            )),
        };
        Self { nodes: nodes.into_iter().map(|health| (health.node, health.serf)).collect(), complete, doubt }
    }

    /// What it says of a machine.
    pub fn says(&self, snapshot: &Snapshot, keys: &MachineKeys, name: &str) -> Result<ConsulSays, TreeError> {
        if !machine::has_agent(snapshot, keys)? {
            return Ok(ConsulSays::NoAgent);
        }
        let node = machine::consul_node(snapshot, keys, name)?;
        let health = self.nodes.iter().find(|(known, _)| known.eq_ignore_ascii_case(&node));
        Ok(match health {
            Some((_, SerfHealth::Passing)) => ConsulSays::Passing,
            Some((_, SerfHealth::Critical)) => ConsulSays::Critical,
            None if self.complete => ConsulSays::Absent,
            None => ConsulSays::CannotTell,
        })
    }
}

/// Machines whose fence levels and BMC password this token may not read: of them it cannot be told that there are none.
async fn hidden(store: &dyn Store, snapshot: &Snapshot, machines: &[TreeMachine]) -> BTreeSet<String> {
    let is_hidden = |machine: &TreeMachine| {
        let keys = machine.keys();
        let is_seen =
            [keys.fence(), keys.bmc_field("password")].iter().any(|key| snapshot.get(key).is_some());
        async move {
            let is_denied =
                !is_seen && matches!(store.get(&keys.fence()).await, Err(StoreError::Denied { .. }));
            is_denied.then(|| keys.all())
        }
    };
    join_all(machines.iter().map(is_hidden)).await.into_iter().flatten().collect()
}
