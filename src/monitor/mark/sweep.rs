//! What a sweep says beside its judgements: hosts that too few HA nodes see, hosts that would not be recovered
//! because it is in doubt which of Nova's hosts they are, and hosts that are known by their own word only.
//!
//! A healthy probe writes nothing, so a host that nobody probes looks well in the tree; only the checks in Consul tell.
//! Nothing is judged on what is read here.

use std::collections::BTreeSet;

use super::report::{Line, Result as LineResult};
use crate::evidence::EvidenceError;
use crate::judge::quorum::votes_needed;
use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HaNodeName, HostName};
use crate::policy::Policy;
use crate::store::{NodeHealth, SerfHealth, Store, StoreError};
use crate::tree::first_sight::{self, own_words};
use crate::tree::maintenance::Maintenance;
use crate::tree::nova_names::{NovaNames, TreeMachine};
use crate::tree::observer::ObserverRecord;
use crate::tree::{Snapshot, TreeError, machine};
use crate::watched::{Agent, Sight, Watch, Watcher};

/// Adds a line for each host that is not seen as it should be, and that no line is about yet.
///
/// # Errors
/// Consul does not answer, or the tree's policy cannot be understood.
pub async fn unwatched(store: &dyn Store, lines: &mut Vec<Line>) -> Result<(), EvidenceError> {
    let site = Site::read(store).await?;
    let watch = Watch::read(store, site.watchers()).await;
    for host in &site.hosts {
        if lines.iter().any(|line| line.host == *host) || site.is_let_alone(host) {
            continue;
        }
        if let Some(line) = site.name_in_doubt(host) {
            lines.push(line);
            continue;
        }
        let sight = watch.sight(host.as_str(), |node| site.is_failing(host, node));
        let needed = votes_needed(&site.policy, sight.sees.len() + sight.blind.len());
        if sight.is_worth_a_line(needed) {
            lines.push(line(host, &sight, sight.is_enough(needed)));
        }
    }
    match site.by_their_own_word() {
        Some(line) => lines.push(line),
        None => lines.extend(site.not_shown(store).await),
    }
    Ok(())
}

fn line(host: &HostName, sight: &Sight, enough: bool) -> Line {
    let because = if enough { sight.text() } else { format!("UNPROTECTED: {}", sight.text()) };
    Line {
        host: host.clone(),
        result: LineResult::Unwatched,
        incident: None,
        because,
        attention: true,
        next: sight.next().into_iter().next(),
    }
}

struct Site {
    tree: Snapshot,
    policy: Policy,
    hosts: BTreeSet<HostName>,
    ha_nodes: BTreeSet<HaNodeName>,
    nova_names: NovaNames,
    health: Vec<NodeHealth>,
}

impl Site {
    async fn read(store: &dyn Store) -> Result<Self, EvidenceError> {
        let names = |what, prefix| async move {
            store.keys(prefix, false).await.map_err(|source| EvidenceError::Store { what, source })
        };
        let host_keys = names("the hosts", keys::HOSTS).await?;
        let ha_keys = names("the HA nodes", keys::HA_NODES).await?;
        let hosts: BTreeSet<HostName> = host_keys
            .iter()
            .filter_map(|key| keys::host_of(key).filter(|host| *key == keys::host(host).general()))
            .collect();
        let ha_nodes: BTreeSet<HaNodeName> = ha_keys
            .iter()
            .filter_map(|key| keys::ha_node_of(key).filter(|node| *key == keys::ha_node(node).general()))
            .collect();
        let of_host = |keys: MachineKeys| {
            let own = [keys.names(), keys.runtime_config(), keys.bound()];
            let typed = [keys.bmc_field("identity"), keys.ssh_field("host_key")];
            let own = own.into_iter().chain(typed);
            [keys.status(), keys.epoch(), keys.observers(), keys.maintenance()].into_iter().chain(own)
        };
        let prefixes: Vec<String> = hosts
            .iter()
            .flat_map(|host| of_host(keys::host(host)))
            .chain(ha_nodes.iter().map(|node| keys::ha_node(node).names()))
            .chain([keys::POLICY.to_owned()])
            .collect();
        let tree = Snapshot::read(store, "who watches the hosts", &prefixes).await.map_err(tree_error)?;
        let policy = Policy::of(&tree).map_err(tree_error)?;
        let health = store
            .serf_health()
            .await
            .map_err(|source| EvidenceError::Store { what: "serfHealth of the nodes", source })?;
        let machines = hosts.iter().cloned().map(TreeMachine::Host);
        let machines = machines.chain(ha_nodes.iter().cloned().map(TreeMachine::HaNode));
        let nova_names = NovaNames::of(&tree, machines);
        Ok(Self { tree, policy, hosts, ha_nodes, nova_names, health })
    }

    /// A host of which nobody knows whose guests are its own is not recovered: said before it dies. What of it cannot be
    /// understood is told by `nova-ha status`, which reads it too.
    fn name_in_doubt(&self, host: &HostName) -> Option<Line> {
        let doubt = self.nova_names.doubts(&self.tree, host).ok()?.into_iter().next()?;
        Some(Line {
            host: host.clone(),
            result: LineResult::Unprotected,
            incident: None,
            because: format!("UNPROTECTED: {}", doubt.text()),
            attention: true,
            next: Some(doubt.next(host)),
        })
    }

    /// A line where this token may not read by what hosts are known, so that *none is known by its own word only* would be no
    /// answer: its ACL policy is of an older build. A denied read looks empty beside others, and is denied alone.
    async fn not_shown(&self, store: &dyn Store) -> Option<Line> {
        let published = |host: &HostName| keys::host(host).runtime_config();
        // `nova-ha host add` makes the key.
        let mut unseen = self.hosts.iter().filter(|host| !self.is_let_alone(host));
        let host = unseen.find(|host| self.tree.get(&published(host)).is_none())?;
        let is_denied = matches!(store.get(&published(host)).await, Err(StoreError::Denied { .. }));
        is_denied.then(|| Line {
            host: host.clone(),
            result: LineResult::FirstSight,
            incident: None,
            because: "FIRST SIGHT: by what hosts are known is not shown to this token, whose ACL policy is of an older build; \
                      nova-ha status says it"
                .into(),
            attention: true,
            next: Some("nova-ha generate acl   (then give this token the new policy)".into()),
        })
    }

    /// One line for all hosts that nobody bound: a recovery would act by what they say of themselves.
    fn by_their_own_word(&self) -> Option<Line> {
        let is_one = |host: &&HostName| {
            !self.is_let_alone(host) && !own_words(&self.tree, &keys::host(host)).is_empty()
        };
        let hosts: Vec<&HostName> = self.hosts.iter().filter(is_one).collect();
        let (first, more) = hosts.split_first()?;
        let words = first_sight::text(&own_words(&self.tree, &keys::host(first)));
        let others = match more.len() {
            0 => String::new(),
            1 => "; 1 more host likewise".to_owned(),
            many => format!("; {many} more hosts likewise"),
        };
        Some(Line {
            host: (*first).clone(),
            result: LineResult::FirstSight,
            incident: None,
            because: format!("FIRST SIGHT: known by its own word only ({words}){others}"),
            attention: true,
            next: Some(
                "nova-ha host accept --all --by NAME   (shows it first; if nothing is left: nova-ha generate acl)".into(),
            ),
        })
    }

    fn watchers(&self) -> Vec<Watcher> {
        let watcher = |node: &HaNodeName| {
            let named = machine::consul_node(&self.tree, &keys::ha_node(node), node.as_str());
            let (consul_node, agent) = match named {
                Ok(name) => {
                    let serf = self.health.iter().find(|known| known.node.eq_ignore_ascii_case(&name));
                    let agent = match serf.map(|known| known.serf) {
                        Some(SerfHealth::Passing) => Agent::Passing,
                        Some(SerfHealth::Critical) | None => Agent::Lost,
                    };
                    (name, agent)
                }
                Err(error) => (node.to_string(), Agent::CannotTell(error.to_string())),
            };
            Watcher { name: node.clone(), consul_node, agent }
        };
        self.ha_nodes.iter().map(watcher).collect()
    }

    /// In maintenance, or out of service already: nobody expects that it is watched. What cannot be read is expected.
    fn is_let_alone(&self, host: &HostName) -> bool {
        let keys = keys::host(host);
        let flag = |key: String| self.tree.flag(&key).unwrap_or(false);
        Maintenance::of(&self.tree, &keys).is_ok_and(|m| m.on)
            || flag(keys.failed())
            || flag(keys.recovered())
    }

    /// Whether an HA node's record of a host, of its current epoch, holds fails.
    fn is_failing(&self, host: &HostName, node: &HaNodeName) -> bool {
        let keys = keys::host(host);
        let epoch = self.tree.number(&keys.epoch()).ok().map(|epoch| Epoch(epoch.unwrap_or(0)));
        let record: Option<ObserverRecord> = self.tree.record(&keys.observer(node)).ok().flatten();
        record.is_some_and(|record| record.fails > 0 && Some(record.epoch) == epoch)
    }
}

fn tree_error(source: TreeError) -> EvidenceError {
    EvidenceError::Tree { source }
}
