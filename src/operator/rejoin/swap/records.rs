//! The one transaction that swaps two machines' roles in the tree. Pure.
//!
//! What belongs to a machine (its BMC, its SSH access, its names, its levels) goes with it; what belongs
//! to the role of an HA node (its cloud, its storage, where it sends guests) goes to the machine that
//! gets that role. Everything else of both, votes above all, ends here.
//!
//! What was decided on is compared key by key. What is merely carried over cannot be: two fully
//! configured machines have more keys than a transaction has operations. So it is read *in* the
//! transaction, before it is deleted, and a change that came between our look and that moment is carried
//! over after it ([`Swap::late`]).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::operator::cluster::Cluster;
use crate::store::{Entry, Op};
use crate::tree::bound::Bound;
use crate::tree::flag;
use crate::tree::record::{Record, bytes};
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::{Snapshot, TreeError};

/// Of the role of an HA node, not of the machine: what `nova-ha ha-node add` has beyond what all
/// machines have.
const ROLE: [&str; 6] = [
    "config/os_cloud",
    "config/nova_mountpoint",
    "config/storage",
    "config/storage_exec",
    "config/nova_user",
    "config/targets",
];

/// What is bound to a machine: who it is goes with the machine, its arrays stay with the role.
const BOUND: &str = "config/bound";

/// `incidents/{id}/swap`: that its host and the HA node that took its storage have swapped their roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SwapNote {
    /// Format version.
    pub(super) version: u64,
    /// Was the host, and is an HA node.
    pub(super) host: HostName,
    /// Was the HA node, and is a host.
    pub(super) ha_node: HaNodeName,
    /// Who said so.
    pub(super) by: String,
    /// Wall clock.
    pub(super) at: jiff::Timestamp,
}

impl Record for SwapNote {
    const VERSION: u64 = 1;
}

/// Two machines and what each becomes.
pub(super) struct Swap {
    /// The incident in which the one took over from the other.
    pub(super) incident: IncidentId,
    /// The repaired host.
    pub(super) host: HostName,
    /// The HA node that has its storage.
    pub(super) ha_node: HaNodeName,
    /// What the repaired host is called from now on.
    pub(super) new_ha_node: HaNodeName,
    /// What the former HA node is called from now on.
    pub(super) new_host: HostName,
}

impl Swap {
    /// Both names are names of the other kind, too.
    pub(super) fn of(
        incident: IncidentId,
        host: HostName,
        ha_node: HaNodeName,
    ) -> Result<Self, crate::names::NameError> {
        let (new_ha_node, new_host) = (host.as_str().parse()?, ha_node.as_str().parse()?);
        Ok(Self { incident, host, ha_node, new_ha_node, new_host })
    }

    fn before(&self) -> [MachineKeys; 2] {
        [keys::host(&self.host), keys::ha_node(&self.ha_node)]
    }

    fn after(&self) -> [MachineKeys; 2] {
        [keys::ha_node(&self.new_ha_node), keys::host(&self.new_host)]
    }

    /// Where a key goes, if it goes anywhere.
    fn goes_to(&self, key: &str) -> Option<String> {
        let [old_host, old_node] = self.before().map(|keys| keys.all());
        let [new_node, new_host] = self.after().map(|keys| keys.all());
        // What is bound to a machine is partly its own and partly its role's.
        let is_carried = |rest: &str| (rest.starts_with("config/") && rest != BOUND) || rest == "general";
        match (key.strip_prefix(&old_host), key.strip_prefix(&old_node)) {
            (Some(rest), _) if is_carried(rest) && !ROLE.contains(&rest) => Some(format!("{new_node}{rest}")),
            (_, Some(rest)) if ROLE.contains(&rest) => Some(format!("{new_node}{rest}")),
            (_, Some(rest)) if is_carried(rest) => Some(format!("{new_host}{rest}")),
            _ => None,
        }
    }

    /// All of it, or nothing.
    pub(super) fn transaction(
        &self,
        cluster: &Cluster,
        by: &str,
        at: jiff::Timestamp,
    ) -> Result<Vec<Op>, TreeError> {
        let tree = &cluster.snapshot;
        let [host, node] = self.before();
        let incident = keys::incident(&self.incident);
        let unchanged = |key: String| {
            let seen = tree.get(&key);
            Op::unchanged(key, seen)
        };
        let added: u64 = tree.number(keys::MACHINES_ADDED)?.unwrap_or(0);
        let note = SwapNote {
            version: SwapNote::VERSION,
            host: self.host.clone(),
            ha_node: self.ha_node.clone(),
            by: by.to_owned(),
            at,
        };
        let mut ops = vec![
            cluster.meta_unchanged(),
            Op::replace(
                keys::MACHINES_ADDED,
                added.wrapping_add(1).to_string(),
                tree.get(keys::MACHINES_ADDED),
            ),
            unchanged(incident.incident()),
            unchanged(host.failed()),
            unchanged(host.recovered()),
            unchanged(host.epoch()),
            unchanged(host.runtime_config()),
            unchanged(node.in_use()),
            unchanged(node.in_use_by()),
            Op::Set(incident.swap(), bytes(&note)),
            Op::GetTree(host.all()),
            Op::GetTree(node.all()),
            Op::DeleteTree(host.all()),
            Op::DeleteTree(node.all()),
        ];
        ops.extend(self.written(cluster)?.into_iter().map(|(key, value)| Op::Cas(key, value, 0)));
        Ok(ops)
    }

    /// What the two new machines have.
    fn written(&self, cluster: &Cluster) -> Result<BTreeMap<String, Vec<u8>>, TreeError> {
        let tree = &cluster.snapshot;
        let [host, node] = self.before();
        let [new_node, new_host] = self.after();
        let no = || Vec::from(flag::text(false));
        let epoch = |keys: &MachineKeys| Ok::<_, TreeError>(tree.number::<u64>(&keys.epoch())?.unwrap_or(0));
        // Of its own incidents, from when it was a host before, none may come back to life.
        let earlier = cluster.incidents.iter().filter(|id| id.host() == &self.new_host);
        let used = earlier.map(|id| id.epoch().0).max().unwrap_or(0).max(epoch(&node)?);
        let mut written: BTreeMap<String, Vec<u8>> = [
            (new_host.failed(), no()),
            (new_host.recovered(), no()),
            (new_host.number_fails(), b"0".to_vec()),
            (new_host.epoch(), Epoch(used.saturating_add(1)).to_string().into_bytes()),
            (new_host.maintenance(), no()),
            (new_host.general(), Vec::new()),
            (new_host.runtime_config(), known_by(cluster, &node)?),
            (new_node.in_use(), no()),
            (new_node.number_fails(), b"0".to_vec()),
            (new_node.epoch(), Epoch(epoch(&host)?.saturating_add(1)).to_string().into_bytes()),
            (new_node.maintenance(), no()),
            (new_node.general(), Vec::new()),
            (new_node.runtime_config(), known_by(cluster, &host)?),
        ]
        .into();
        written.extend(self.bound(tree)?);
        for entry in [&host, &node].into_iter().flat_map(|keys| entries(tree, keys)) {
            written.extend(self.goes_to(&entry.key).map(|key| (key, entry.value.clone())));
        }
        Ok(written)
    }

    /// What the two new machines are bound to.
    fn bound(&self, tree: &Snapshot) -> Result<Vec<(String, Vec<u8>)>, TreeError> {
        let [host, node] = self.before();
        let [new_node, new_host] = self.after();
        let of_host: Option<Bound> = tree.record(&host.bound())?;
        let of_node: Option<Bound> = tree.record(&node.bound())?;
        let arrays = of_host.as_ref().map(|bound| bound.arrays.clone());
        let filesystems = of_host.as_ref().map(|bound| bound.filesystems.clone());
        let nobody = |bound: &Bound| Bound { system_uuid: None, system_serial: None, ..bound.clone() };
        // An HA node without a word of its own, whose new role has arrays: who it is stays first sight.
        let host_now = of_node.clone().or_else(|| of_host.as_ref().map(nobody));
        let host_now = host_now.map(|bound| Bound {
            arrays: arrays.unwrap_or_default(),
            filesystems: filesystems.unwrap_or_default(),
            ..bound
        });
        let node_now =
            of_host.map(|bound| Bound { arrays: BTreeMap::new(), filesystems: BTreeSet::new(), ..bound });
        let written = [(new_host.bound(), host_now), (new_node.bound(), node_now)];
        Ok(written.into_iter().filter_map(|(key, bound)| Some((key, bytes(&bound?)))).collect())
    }

    /// What somebody changed between our look and the transaction: `read` is what the transaction itself
    /// found before it deleted it.
    pub(super) fn late(&self, cluster: &Cluster, read: &[Entry]) -> Vec<Op> {
        let tree = &cluster.snapshot;
        let found: BTreeMap<&str, &Entry> = read.iter().map(|entry| (entry.key.as_str(), entry)).collect();
        let changed = found
            .values()
            .filter(|entry| tree.get(&entry.key).is_none_or(|seen| seen.modify_index != entry.modify_index));
        let written = changed
            .filter_map(|entry| Some(Op::Set(self.goes_to(&entry.key)?, entry.value.clone())))
            .collect::<Vec<_>>();
        let old = self.before();
        let gone = old
            .iter()
            .flat_map(|keys| entries(tree, keys))
            .filter(|entry| !found.contains_key(entry.key.as_str()))
            .filter_map(|entry| Some(Op::Delete(self.goes_to(&entry.key)?)));
        written.into_iter().chain(gone).collect()
    }
}

fn entries<'a>(tree: &'a Snapshot, keys: &MachineKeys) -> impl Iterator<Item = &'a Entry> {
    let root = keys.all();
    tree.all().filter(move |entry| entry.key.starts_with(&root))
}

/// What a machine published about who it is. Not its arrays: those of the old role are nobody's, and it
/// publishes those of the new one itself. Not what Nova calls it either: that is `config/names`, which goes with it, and never
/// the machine's own word (see ADR 0022).
fn known_by(cluster: &Cluster, keys: &MachineKeys) -> Result<Vec<u8>, TreeError> {
    let Some(entry) = cluster.snapshot.get(&keys.runtime_config()) else { return Ok(b"{}".to_vec()) };
    let published = RuntimeConfig::parse(&entry.key, &entry.value)?;
    let who = RuntimeConfig {
        version: published.version,
        hw_model: published.hw_model,
        hw_product: published.hw_product,
        system_uuid: published.system_uuid,
        system_serial: published.system_serial,
        ssh_host_keys: published.ssh_host_keys,
        ..RuntimeConfig::default()
    };
    serde_json::to_vec(&who)
        .map_err(|error| TreeError::Malformed { key: entry.key.clone(), why: error.to_string() })
}

#[cfg(test)]
mod tests;
