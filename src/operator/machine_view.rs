//! What is shown of a machine. One key that cannot be understood becomes a fault of its own and
//! never hides the others; a value that is not known is `null`, never a guess.

use serde::Serialize;

use super::cluster::{Catalog, Cluster, ConsulSays};
use super::fault::{Fault, faults_text, look, next_text};
use super::observer_view::ObserverView;
use super::secret_input::shown;
use super::table::{Table, field, when};
use super::unprotected::Unprotected;
use super::watch::Watching;
use crate::bindings::arrays;
use crate::chain::chain;
use crate::disks::owner_mark;
use crate::disks::reservation_key::ReservationKey;
use crate::fence::{ConfigError, FenceConfig};
use crate::incident::Phase;
use crate::keys::{self, MachineKeys};
use crate::names::{Epoch, HaNodeName, HostName, IncidentId};
use crate::policy::Policy;
use crate::tree::bound::Bound;
use crate::tree::foreign::Foreign;
use crate::tree::machine::{OtherNames, SshAccess, Targets};
use crate::tree::maintenance::Maintenance;
use crate::tree::nova_names::TreeMachine;
use crate::tree::observer::ObserverRecord;
use crate::tree::published::Published;
use crate::tree::storage::{Storage, Strategy};
use crate::tree::{Snapshot, TreeError};

/// One host as status and list show it.
#[derive(Debug, Clone, Serialize)]
pub struct HostView {
    /// Its name.
    pub name: String,
    /// What Consul's catalog says.
    pub consul_says: Option<ConsulSays>,
    /// `status/failed`.
    pub failed: Option<bool>,
    /// `status/recovered`.
    pub recovered: Option<bool>,
    /// `internal/number_fails`: for people, never evidence.
    pub number_fails: Option<u64>,
    /// `internal/epoch`.
    pub epoch: Option<u64>,
    /// `config/maintenance`.
    pub maintenance: Option<Maintenance>,
    /// Its open incident.
    pub incident: Option<String>,
    /// HA nodes that see it, by their checks in Consul.
    pub seen_by: Vec<String>,
    /// Why it would not be recovered if it died now; empty for a protected host.
    pub unprotected: Vec<Unprotected>,
    /// What is wrong with how it is watched although enough HA nodes see it.
    pub watched: Option<String>,
    /// What to type, for all of it.
    pub next: Vec<String>,
    /// Keys that cannot be understood.
    pub faults: Vec<Fault>,
}

impl HostView {
    /// Looks at one host.
    pub fn of(cluster: &Cluster, catalog: &Catalog, watching: &Watching, host: &HostName) -> Self {
        let keys = keys::host(host);
        let tree = &cluster.snapshot;
        let mut faults = Vec::new();
        let incident = look(&mut faults, cluster.open_incident(host)).flatten().map(|id| id.to_string());
        // What only its probes and its recovery read: they must not be the first to say so.
        look(&mut faults, SshAccess::of(tree, &keys));
        look(&mut faults, tree.record::<Bound>(&keys.bound()));
        faults.extend(Published::of(tree, &keys).faults().into_iter().map(Fault::from));
        let mut view = Self {
            name: host.to_string(),
            consul_says: look(&mut faults, catalog.says(tree, &keys, host.as_str())),
            failed: look(&mut faults, tree.flag(&keys.failed())),
            recovered: look(&mut faults, tree.flag(&keys.recovered())),
            number_fails: look(&mut faults, tree.number(&keys.number_fails())).map(|n| n.unwrap_or(0)),
            epoch: look(&mut faults, tree.number(&keys.epoch())).map(|n| n.unwrap_or(0)),
            maintenance: look(&mut faults, Maintenance::of(tree, &keys)),
            incident,
            seen_by: Vec::new(),
            unprotected: Vec::new(),
            watched: None,
            next: Vec::new(),
            faults,
        };
        let no_fence = match cluster.hidden.contains(&keys.all()) {
            true => None,
            false => no_fence(tree, &keys, &mut view.faults),
        };
        view.unprotected = view.why_unprotected(cluster, host, no_fence);
        let doubts = look(&mut view.faults, cluster.nova_names.doubts(tree, host));
        view.unprotected.extend(doubts.into_iter().flatten().map(Unprotected::NovaName));
        view.unprotected.extend(whose(cluster, host));
        view.look_who_watches(cluster, watching, &keys);
        let next = view.unprotected.iter().flat_map(|why| why.next(host));
        view.next.splice(0..0, next);
        view
    }

    /// Whether something of it waits for a person.
    pub fn needs_a_person(&self) -> bool {
        self.watched.is_some() || self.unprotected.iter().any(Unprotected::needs_a_person)
    }

    /// What its flags mean, where they keep it from being recovered and no open incident of ours says so.
    fn flag_in_the_way(&self, cluster: &Cluster, host: &HostName) -> Option<Unprotected> {
        let (failed, recovered) = (self.failed == Some(true), self.recovered == Some(true));
        let id = self.epoch.map(|epoch| IncidentId::new(host.clone(), Epoch(epoch)))?;
        let last = cluster.last_incident(&self.name, self.epoch);
        match (cluster.incidents.contains(&id), recovered) {
            (false, true) => Some(Unprotected::Foreign(Foreign::Recovered { host: host.clone() })),
            (true, true) if self.incident.is_some() => {
                let is_unclaimed = last.is_some_and(|record| record.status.phase == Phase::Open);
                is_unclaimed.then_some(Unprotected::Foreign(Foreign::RecoveredUnclaimed { incident: id }))
            }
            (_, _) => ((failed || recovered) && self.incident.is_none())
                .then(|| Unprotected::flagged(last.as_ref())),
        }
    }

    fn look_who_watches(&mut self, cluster: &Cluster, watching: &Watching, keys: &MachineKeys) {
        let sight = watching.sight(cluster, keys, &self.name);
        self.seen_by = sight.sees.iter().map(ToString::to_string).collect();
        let needed = Watching::needed(Policy::of(&cluster.snapshot).ok().as_ref(), &sight);
        if !sight.is_enough(needed) {
            self.unprotected.push(Unprotected::Unseen(sight));
        } else if sight.is_worth_a_line(needed) {
            self.watched = Some(sight.text());
            self.next = sight.next();
        }
    }

    fn why_unprotected(
        &self,
        cluster: &Cluster,
        host: &HostName,
        no_fence: Option<String>,
    ) -> Vec<Unprotected> {
        let keys = &keys::host(host);
        let tree = &cluster.snapshot;
        let has = |key: &str| tree.get(key).is_some_and(|entry| !entry.value.trim_ascii().is_empty());
        let applies = [
            (tree.get(&keys.general()).is_none(), Unprotected::NotAdded),
            (!self.faults.is_empty(), Unprotected::BadKey),
            (self.maintenance.as_ref().is_some_and(|m| m.on), Unprotected::InMaintenance),
            (self.consul_says == Some(ConsulSays::Absent), Unprotected::AgentAbsent),
        ];
        let mut why: Vec<Unprotected> =
            applies.into_iter().filter(|(applies, _)| *applies).map(|(_, why)| why).collect();
        why.extend(self.flag_in_the_way(cluster, host));
        why.extend((!has(&keys.ssh_field("user"))).then_some(Unprotected::NoSsh));
        why.extend(no_fence.map(Unprotected::NoFence));
        why
    }

    /// Why it is unprotected, in one line.
    pub(super) fn why(&self) -> String {
        let why: Vec<String> = self.unprotected.iter().map(Unprotected::text).collect();
        why.join("; ")
    }

    /// The whole view, one field a line.
    pub fn text(&self) -> String {
        let mut text = field("host", Some(&self.name), AT);
        text += &field("Consul says", self.consul_says.map(ConsulSays::word), AT);
        text += &field("failed", flag_word(self.failed), AT);
        text += &field("recovered", flag_word(self.recovered), AT);
        text += &field("number_fails", self.number_fails.map(|n| n.to_string()).as_deref(), AT);
        text += &field("epoch", self.epoch.map(|n| n.to_string()).as_deref(), AT);
        text += &field("maintenance", self.maintenance.as_ref().map(maintenance_text).as_deref(), AT);
        text += &field("open incident", self.incident.as_deref(), AT);
        if !self.unprotected.is_empty() {
            text += &field("UNPROTECTED", Some(&self.why()), AT);
        }
        if let Some(watched) = &self.watched {
            text += &field("watched", Some(watched), AT);
        }
        for next in &self.next {
            text += &next_text(next);
        }
        text + &faults_text(&self.faults)
    }
}

/// Why it is in doubt whether its BMC and its arrays are its own.
fn whose(cluster: &Cluster, host: &HostName) -> Vec<Unprotected> {
    let claims = &cluster.claims;
    let known = claims.expected(&TreeMachine::Host(host.clone()));
    let identity = known.and_then(|known| known.doubt()).map(Unprotected::Identity);
    let takes_arrays = |node: &HaNodeName| {
        Storage::of(&cluster.snapshot, &keys::ha_node(node))
            .is_ok_and(|storage| storage.strategy == Strategy::Md)
    };
    let arrays = match cluster.ha_nodes.iter().any(takes_arrays) {
        true => {
            let disks = Published::of(&cluster.snapshot, &keys::host(host)).disks().unwrap_or_default();
            claims.array_doubts(host, &arrays::of_the_guests(&disks))
        }
        false => Vec::new(),
    };
    identity.into_iter().chain(arrays.into_iter().map(Unprotected::Array)).collect()
}

/// Why nobody could power it off; a key that cannot be understood is a fault of its own.
fn no_fence(tree: &Snapshot, keys: &MachineKeys, faults: &mut Vec<Fault>) -> Option<String> {
    match FenceConfig::of(tree, keys) {
        Ok(config) => {
            faults.extend(config.never_told().into_iter().map(Fault::from));
            None
        }
        Err(ConfigError::Tree(TreeError::Missing { key })) if key == keys.bmc_field("ip") => {
            Some("no BMC, no fence levels".into())
        }
        Err(ConfigError::Tree(TreeError::Missing { key })) => Some(format!("{key} is missing")),
        Err(ConfigError::Tree(error)) => {
            faults.push(error.into());
            None
        }
        // These come of what a level is built from, and nothing is built here.
        Err(
            error @ (ConfigError::Secret { .. }
            | ConfigError::Level { .. }
            | ConfigError::Ca { .. }
            | ConfigError::Refused { .. }),
        ) => Some(chain(&error)),
    }
}

/// Column of the values.
const AT: usize = 20;

/// One HA node as status and list show it.
#[derive(Debug, Clone, Serialize)]
pub struct HaNodeView {
    /// Its name.
    pub name: String,
    /// What Consul's catalog says.
    pub consul_says: Option<ConsulSays>,
    /// `status/in_use`.
    pub in_use: Option<bool>,
    /// The incident that holds it.
    pub in_use_by: Option<String>,
    /// `config/maintenance`.
    pub maintenance: Option<Maintenance>,
    /// By which it reserves disks, as they show it (docs/storage-md.md).
    pub reservation_key: String,
    /// Keys that cannot be understood.
    pub faults: Vec<Fault>,
}

impl HaNodeView {
    /// Looks at one HA node.
    pub fn of(cluster: &Cluster, catalog: &Catalog, node: &HaNodeName) -> Self {
        let keys = keys::ha_node(node);
        let tree = &cluster.snapshot;
        let mut faults = Vec::new();
        // Only a recovery reads these: it must not be the first to say so.
        look(&mut faults, SshAccess::of(tree, &keys));
        look(&mut faults, Targets::of(tree, &keys));
        look(&mut faults, Storage::of(tree, &keys));
        Self {
            name: node.to_string(),
            consul_says: look(&mut faults, catalog.says(tree, &keys, node.as_str())),
            in_use: look(&mut faults, tree.flag(&keys.in_use())),
            in_use_by: look(&mut faults, tree.text(&keys.in_use_by())).flatten(),
            maintenance: look(&mut faults, Maintenance::of(tree, &keys)),
            reservation_key: ReservationKey::of_holder(&owner_mark::holder(node.as_str())).to_string(),
            faults,
        }
    }

    /// The whole view, one field a line.
    pub fn text(&self) -> String {
        let mut text = field("HA node", Some(&self.name), AT);
        text += &field("Consul says", self.consul_says.map(ConsulSays::word), AT);
        text += &field("in use", flag_word(self.in_use), AT);
        text += &field("in use by", self.in_use_by.as_deref(), AT);
        text += &field("reservation key", Some(&self.reservation_key), AT);
        text += &field("maintenance", self.maintenance.as_ref().map(maintenance_text).as_deref(), AT);
        text + &faults_text(&self.faults)
    }
}

/// Configuration of a machine; secrets are shown as `(set)` or by their reference.
#[derive(Debug, Clone, Serialize)]
pub struct MachineDetails {
    /// `config/bmc/*`, `config/ssh/*` and the others by their path below `config/`.
    pub settings: std::collections::BTreeMap<String, String>,
    /// What others call it.
    pub names: Option<OtherNames>,
    /// What the observers say.
    pub observers: Vec<ObserverView>,
    /// Keys that cannot be understood.
    pub faults: Vec<Fault>,
}

impl MachineDetails {
    /// Reads what is configured.
    pub fn of(tree: &Snapshot, keys: &MachineKeys) -> Self {
        let mut faults = Vec::new();
        let mut settings = std::collections::BTreeMap::new();
        for entry in tree.below(&keys.config()) {
            let Some(name) = entry.key.strip_prefix(&keys.config()) else { continue };
            if matches!(name, "names" | "maintenance") {
                continue;
            }
            let Some(Some(text)) = look(&mut faults, tree.text(&entry.key)) else { continue };
            settings.insert(name.to_owned(), public(name, &text));
        }
        let names = look(&mut faults, tree.record(&keys.names())).flatten();
        let observers = tree
            .below(&keys.observers())
            .filter_map(|entry| look(&mut faults, tree.record::<ObserverRecord>(&entry.key)).flatten())
            .map(ObserverView::of)
            .collect();
        Self { settings, names, observers, faults }
    }

    /// One setting a line.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, value) in &self.settings {
            let value = value.replace('\n', " ");
            text += &field(name, Some(&value), AT);
        }
        if let Some(names) = &self.names {
            for (label, name) in [
                ("Consul calls it", &names.consul_node),
                ("Nova's host", &names.nova_host),
                ("Nova's hypervisor", &names.hypervisor_hostname),
            ] {
                if let Some(name) = name {
                    text += &field(label, Some(name), AT);
                }
            }
        }
        for seen in &self.observers {
            text += &field(&format!("seen by {}", seen.observer), Some(&seen.text()), AT);
        }
        text + &faults_text(&self.faults)
    }
}

/// What may be shown of a setting. A name that nobody here knows may hold a secret: its value is
/// not shown. Fence levels hold passwords: only that they are there.
fn public(name: &str, text: &str) -> String {
    match name {
        "bmc/ip" | "bmc/port" | "bmc/user" | "bmc/driver" | "bmc/cipher" | "bmc/identity" | "ssh/user"
        | "ssh/port" | "ssh/address" | "ssh/host_key" | "bound" | "agent" | "os_cloud"
        | "nova_mountpoint" | "nova_user" | "targets" | "storage" | "storage_exec" => text.to_owned(),
        _ => shown(Some(text)).unwrap_or_default(),
    }
}

/// The hosts as a table.
pub fn hosts_table(hosts: &[HostView]) -> String {
    let mut table = Table::new(["HOST", "CONSUL SAYS", "FAILED", "RECOVERED", "FAILS", "REMARKS"]);
    for host in hosts {
        let mut remarks: Vec<String> = host.incident.iter().map(|id| format!("incident {id}")).collect();
        if let Some(m) = host.maintenance.as_ref().filter(|m| m.on) {
            remarks.push(format!("maintenance: {}", maintenance_text(m)));
        }
        remarks.extend((!host.faults.is_empty()).then(|| "BAD DATA".to_owned()));
        table.row([
            host.name.clone(),
            host.consul_says.map_or("?", ConsulSays::word).into(),
            flag_word(host.failed).unwrap_or("?").into(),
            flag_word(host.recovered).unwrap_or("?").into(),
            host.number_fails.map_or_else(|| "?".into(), |n| n.to_string()),
            remarks.join("; "),
        ]);
    }
    table.text(0)
}

/// The HA nodes as a table.
pub fn ha_nodes_table(nodes: &[HaNodeView]) -> String {
    let mut table = Table::new(["HA NODE", "CONSUL SAYS", "IN USE", "REMARKS"]);
    for node in nodes {
        let mut remarks: Vec<String> = node.in_use_by.iter().map(|id| format!("by {id}")).collect();
        if let Some(m) = node.maintenance.as_ref().filter(|m| m.on) {
            remarks.push(format!("maintenance: {}", maintenance_text(m)));
        }
        remarks.extend((!node.faults.is_empty()).then(|| "BAD DATA".to_owned()));
        table.row([
            node.name.clone(),
            node.consul_says.map_or("?", ConsulSays::word).into(),
            flag_word(node.in_use).unwrap_or("?").into(),
            remarks.join("; "),
        ]);
    }
    table.text(0)
}

/// `True`, `False`, as the tree spells it.
fn flag_word(value: Option<bool>) -> Option<&'static str> {
    value.map(crate::tree::flag::text)
}

/// Maintenance in one line.
pub(super) fn maintenance_text(m: &Maintenance) -> String {
    if !m.on {
        return "off".into();
    }
    let mut text = "on".to_owned();
    if let Some(reason) = &m.reason {
        text += &format!(", {reason}");
    }
    if let Some(by) = &m.by {
        text += &format!(" (by {by}{})", m.at.map(|at| format!(", {}", when(at))).unwrap_or_default());
    }
    text
}
