//! Every path of the tree, in one file.
//!
//! The keys of the original `os_nova_ha_monitor` are kept with their spelling; ours stand beside
//! them. Every prefix ends in `/`, because `node1` is a prefix of `node10`.

use crate::names::{HaNodeName, HostName, IncidentId};

/// Root of everything.
pub const ROOT: &str = "ha_cluster/";
/// Folder of the compute hosts.
pub const HOSTS: &str = "ha_cluster/compute_nodes/";
/// Folder of the HA nodes.
pub const HA_NODES: &str = "ha_cluster/ha_nodes/";
/// Folder of the incidents.
pub const INCIDENTS: &str = "ha_cluster/incidents/";
/// Folder of incidents that were opened and that no HA node has taken up: what the checks write.
pub const OPENED: &str = "ha_cluster/opened/";
/// Folder of people's orders to fence, by incident: written by people alone.
pub const ORDERS: &str = "ha_cluster/orders/";
/// Folder of people's words in incidents.
pub const WORDS: &str = "ha_cluster/words/";
/// The sentinel: visible to every token that may read the tree at all. `nova-ha init` writes it.
pub const META: &str = "ha_cluster/meta";
/// Its twin among the incidents: where it is not to be seen, no incident is.
pub const INCIDENTS_SENTINEL: &str = "ha_cluster/incidents/meta";
/// What differs from the default policy.
pub const POLICY: &str = "ha_cluster/policy";
/// A cool-down in force, with its cause.
pub const COOLDOWN: &str = "ha_cluster/cooldown";
/// Id of the newest incident: the one key that triggers `recover`, and the serial number that
/// every marking transaction compares.
pub const RECOVERY_QUEUE: &str = "ha_cluster/recovery_queue";
/// How many machines were ever added: the serial number that every addition compares and raises. A
/// name is looked at against all others, and two at once would not see each other.
pub const MACHINES_ADDED: &str = "ha_cluster/machines_added";

/// Keys of one machine, host or HA node; both are watched in the same way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MachineKeys {
    root: String,
}

impl MachineKeys {
    /// Everything of this machine; ends in `/`.
    pub fn all(&self) -> String {
        self.root.clone()
    }
    /// `status/`
    pub fn status(&self) -> String {
        format!("{}status/", self.root)
    }
    /// `internal/`
    pub fn internal(&self) -> String {
        format!("{}internal/", self.root)
    }
    /// `config/`: holds secrets.
    pub fn config(&self) -> String {
        format!("{}config/", self.root)
    }
    /// `status/failed`: True from the moment it is marked as dead; only an administrator sets it back to False.
    pub fn failed(&self) -> String {
        format!("{}status/failed", self.root)
    }
    /// `status/recovered`: True from the moment a recovery is attempted.
    pub fn recovered(&self) -> String {
        format!("{}status/recovered", self.root)
    }
    /// `status/in_use` (HA nodes): changed only inside the claim and close transactions.
    pub fn in_use(&self) -> String {
        format!("{}status/in_use", self.root)
    }
    /// `internal/in_use_by` (HA nodes): the incident that holds it.
    pub fn in_use_by(&self) -> String {
        format!("{}internal/in_use_by", self.root)
    }
    /// `internal/number_fails`: failed probes in a row on which a quorum agrees; for people, never evidence.
    pub fn number_fails(&self) -> String {
        format!("{}internal/number_fails", self.root)
    }
    /// `internal/boot_guard` (hosts): a person's last override of it.
    pub fn boot_guard(&self) -> String {
        format!("{}internal/boot_guard", self.root)
    }
    /// `internal/returning` (hosts): `rejoin` is giving it back.
    pub fn returning(&self) -> String {
        format!("{}internal/returning", self.root)
    }
    /// `internal/runtime_config`: what the machine published about itself.
    pub fn runtime_config(&self) -> String {
        format!("{}internal/runtime_config", self.root)
    }
    /// `internal/formats` (HA nodes): which versions of the stored records it reads.
    pub fn formats(&self) -> String {
        format!("{}internal/formats", self.root)
    }
    /// `internal/epoch`: which failure of this machine is the next one; votes and incidents carry it. Raised by `reset` only.
    pub fn epoch(&self) -> String {
        format!("{}internal/epoch", self.root)
    }
    /// `internal/observers/`
    pub fn observers(&self) -> String {
        format!("{}internal/observers/", self.root)
    }
    /// `internal/observers/{ha-node}`: what that HA node sees fail, its vote; written by its probe alone, cleared by `reset`.
    pub fn observer(&self, observer: &HaNodeName) -> String {
        format!("{}internal/observers/{observer}", self.root)
    }
    /// `config/bmc/`
    pub fn bmc(&self) -> String {
        format!("{}config/bmc/", self.root)
    }
    /// `config/bmc/{field}`: `ip`, `user`, `password`, `port`, `driver`, `cipher`, `identity`, `ca`, `insecure`, `pin`,
    /// `confirmed_by`, `shows`.
    pub fn bmc_field(&self, field: &str) -> String {
        format!("{}config/bmc/{field}", self.root)
    }
    /// `config/ssh/`
    pub fn ssh(&self) -> String {
        format!("{}config/ssh/", self.root)
    }
    /// `config/ssh/{field}`: `user`, `password`, `port`, `address`, `host_key`, `private_key`.
    pub fn ssh_field(&self, field: &str) -> String {
        format!("{}config/ssh/{field}", self.root)
    }
    /// `config/fence`: ordered fence levels; absent means IPMI from `config/bmc`.
    pub fn fence(&self) -> String {
        format!("{}config/fence", self.root)
    }
    /// `config/maintenance`: that somebody works on it, and why: it is not marked then.
    pub fn maintenance(&self) -> String {
        format!("{}config/maintenance", self.root)
    }
    /// `config/names`: Consul node, Nova service host, hypervisor hostname where they differ.
    pub fn names(&self) -> String {
        format!("{}config/names", self.root)
    }
    /// `config/bound`: what an operator took from what the machine published about itself.
    pub fn bound(&self) -> String {
        format!("{}config/bound", self.root)
    }
    /// `config/agent`: `none` for a host without a Consul agent.
    pub fn agent(&self) -> String {
        format!("{}config/agent", self.root)
    }
    /// `config/os_cloud` (HA nodes): name in clouds.yaml.
    pub fn os_cloud(&self) -> String {
        format!("{}config/os_cloud", self.root)
    }
    /// `config/nova_mountpoint` (HA nodes): where Nova keeps its guests.
    pub fn nova_mountpoint(&self) -> String {
        format!("{}config/nova_mountpoint", self.root)
    }
    /// `config/storage` (HA nodes): the storage strategy.
    pub fn storage(&self) -> String {
        format!("{}config/storage", self.root)
    }
    /// `config/storage_exec` (HA nodes): the program of strategy `exec`, with its arguments.
    pub fn storage_exec(&self) -> String {
        format!("{}config/storage_exec", self.root)
    }
    /// `config/nova_user` (HA nodes): the user that nova-compute runs as.
    pub fn nova_user(&self) -> String {
        format!("{}config/nova_user", self.root)
    }
    /// `config/targets` (HA nodes): where guests go.
    pub fn targets(&self) -> String {
        format!("{}config/targets", self.root)
    }
    /// `general`: free text of the operator; its presence makes the machine known.
    pub fn general(&self) -> String {
        format!("{}general", self.root)
    }
}

/// Keys of a compute host.
pub fn host(name: &HostName) -> MachineKeys {
    MachineKeys { root: format!("{HOSTS}{name}/") }
}

/// Keys of an HA node.
pub fn ha_node(name: &HaNodeName) -> MachineKeys {
    MachineKeys { root: format!("{HA_NODES}{name}/") }
}

/// Keys of one incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentKeys {
    id: String,
    root: String,
}

/// Keys of an incident.
pub fn incident(id: &IncidentId) -> IncidentKeys {
    IncidentKeys { id: id.to_string(), root: format!("{INCIDENTS}{id}/") }
}

impl IncidentKeys {
    /// Everything of this incident; ends in `/`.
    pub fn all(&self) -> String {
        self.root.clone()
    }
    /// The incident record: every journal write compares and sets it.
    pub fn incident(&self) -> String {
        format!("{}incident", self.root)
    }
    /// The evidence it was judged on.
    pub fn evidence(&self) -> String {
        format!("{}evidence", self.root)
    }
    /// The lock; only ever locked and unlocked, its value names the holder.
    pub fn lock(&self) -> String {
        format!("{}lock", self.root)
    }
    /// How often it was claimed or adopted: ours beside Consul's LockIndex.
    pub fn term(&self) -> String {
        format!("{}term", self.root)
    }
    /// One chunk of the plan.
    pub fn plan(&self, chunk: usize) -> String {
        format!("{}plan/{chunk:03}", self.root)
    }
    /// The plan's chunks.
    pub fn plans(&self) -> String {
        format!("{}plan/", self.root)
    }
    /// The journal's entries.
    pub fn journal(&self) -> String {
        format!("{}journal/", self.root)
    }
    /// One journal entry; the number is padded so that Consul lists them in order.
    pub fn journal_entry(&self, sequence: u64) -> String {
        format!("{}journal/{sequence:08}", self.root)
    }
    /// The guest ledger.
    pub fn guests(&self) -> String {
        format!("{}guests/", self.root)
    }
    /// One guest's ledger entry.
    pub fn guest(&self, server: &str) -> String {
        format!("{}guests/{server}", self.root)
    }
    /// What people said of its held guests.
    pub fn all_settled(&self) -> String {
        format!("{}settled/", self.words())
    }
    /// A person's word about one of its held guests.
    pub fn settled(&self, server: &str) -> String {
        format!("{}{server}", self.all_settled())
    }
    /// Preflight notes of the HA nodes.
    pub fn preflights(&self) -> String {
        format!("{}preflight/", self.root)
    }
    /// Why this HA node cannot take the incident now.
    pub fn preflight(&self, node: &HaNodeName) -> String {
        format!("{}preflight/{node}", self.root)
    }
    /// That this HA node held the incident earlier, lives, and asks for it.
    pub fn ask(&self, node: &HaNodeName) -> String {
        format!("{}asks/{node}", self.root)
    }
    /// Which machines that held it are through with it.
    pub fn all_gone(&self) -> String {
        format!("{}gone/", self.root)
    }
    /// That the machine which has this HA node's name is through with it.
    pub fn gone(&self, node: &HaNodeName) -> String {
        format!("{}gone/{node}", self.root)
    }
    /// Where Nova says otherwise than the ledger of guests on HA nodes.
    pub fn guests_seen(&self) -> String {
        format!("{}guests_seen", self.root)
    }
    /// What the devices of its fence levels answered, where one of several is silent.
    pub fn devices(&self) -> String {
        format!("{}devices", self.root)
    }
    /// Who declared the host good again afterwards.
    pub fn reset(&self) -> String {
        format!("{}reset", self.root)
    }
    /// How much of the grace for a crash dump was used up.
    pub fn kdump(&self) -> String {
        format!("{}kdump", self.root)
    }
    /// That its host and the HA node that took its storage swapped their roles.
    pub fn swap(&self) -> String {
        format!("{}swap", self.root)
    }
    /// A person's order to fence without votes, which counts for a limited time.
    pub fn order(&self) -> String {
        format!("{ORDERS}{}", self.id)
    }
    /// That it was opened, until an HA node takes it up.
    pub fn opened(&self) -> String {
        format!("{OPENED}{}", self.id)
    }
    /// People's words in this incident; ends in `/`.
    pub fn words(&self) -> String {
        format!("{WORDS}{}/", self.id)
    }
    /// A person's word that nobody goes on with it.
    pub fn hold(&self) -> String {
        format!("{}hold", self.words())
    }
    /// A person's word that leads it out of a hold.
    pub fn resume(&self) -> String {
        format!("{}resume", self.words())
    }
    /// A person's word that opens it again.
    pub fn retry(&self) -> String {
        format!("{}retry", self.words())
    }
    /// A person's word, with a time limit, that the host is off.
    pub fn confirm_off(&self) -> String {
        format!("{WORDS}{}/confirm_off", self.id)
    }
    /// A person's word that the host is off, where older builds have it.
    pub fn confirm_off_within(&self) -> String {
        format!("{}confirm_off", self.root)
    }
    /// People's words for single devices of a fence level.
    pub fn all_device_off(&self) -> String {
        format!("{}device_off/", self.words())
    }
    /// A person's word, with a time limit, that one silent device (`LEVEL.DEVICE`) carries no power.
    pub fn device_off(&self, device: &str) -> String {
        format!("{}{device}", self.all_device_off())
    }
}

/// Keys that an HA node's `recover` writes and deletes again, to try its token on the folders of people's orders and words.
/// No incident has such a name.
pub fn tried(node: &HaNodeName) -> [String; 2] {
    [format!("{ORDERS}tried/{node}"), format!("{WORDS}tried/{node}")]
}

/// The key by which an HA node's `mark-failed` shows its `recover` that its token may open incidents; that removes it again.
pub fn may_open(node: &HaNodeName) -> String {
    format!("{OPENED}tried/{node}")
}

/// Whether a key is one of those.
pub fn is_shown_right(key: &str) -> bool {
    key.strip_prefix(OPENED).is_some_and(|rest| rest.starts_with("tried/"))
}

/// The host that a key below [`HOSTS`] belongs to, if its name is one.
pub fn host_of(key: &str) -> Option<HostName> {
    key.strip_prefix(HOSTS)?.split('/').next()?.parse().ok()
}

/// The HA node that a key below [`HA_NODES`] belongs to, if its name is one.
pub fn ha_node_of(key: &str) -> Option<HaNodeName> {
    key.strip_prefix(HA_NODES)?.split('/').next()?.parse().ok()
}

/// The incident that a key below [`INCIDENTS`] belongs to, if its id is one.
pub fn incident_of(key: &str) -> Option<IncidentId> {
    key.strip_prefix(INCIDENTS)?.split('/').next()?.parse().ok()
}

/// The incident that a key below [`OPENED`] belongs to, if its id is one.
pub fn opened_of(key: &str) -> Option<IncidentId> {
    key.strip_prefix(OPENED)?.parse().ok()
}

/// The incident that a key below [`WORDS`] belongs to, if its id is one.
pub fn word_of(key: &str) -> Option<IncidentId> {
    key.strip_prefix(WORDS)?.split('/').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spelled_as_the_original_spells_them() {
        let keys = host(&"node1".parse().unwrap());
        assert_eq!(keys.failed(), "ha_cluster/compute_nodes/node1/status/failed");
        assert_eq!(keys.recovered(), "ha_cluster/compute_nodes/node1/status/recovered");
        assert_eq!(keys.number_fails(), "ha_cluster/compute_nodes/node1/internal/number_fails");
        assert_eq!(keys.runtime_config(), "ha_cluster/compute_nodes/node1/internal/runtime_config");
        assert_eq!(keys.bmc_field("ip"), "ha_cluster/compute_nodes/node1/config/bmc/ip");
        assert_eq!(keys.ssh_field("user"), "ha_cluster/compute_nodes/node1/config/ssh/user");
        assert_eq!(keys.general(), "ha_cluster/compute_nodes/node1/general");
        let keys = ha_node(&"ha1".parse().unwrap());
        assert_eq!(keys.in_use(), "ha_cluster/ha_nodes/ha1/status/in_use");
        assert_eq!(keys.os_cloud(), "ha_cluster/ha_nodes/ha1/config/os_cloud");
        assert_eq!(keys.nova_mountpoint(), "ha_cluster/ha_nodes/ha1/config/nova_mountpoint");
    }

    #[test]
    fn a_key_names_its_owner_exactly() {
        assert_eq!(host_of("ha_cluster/compute_nodes/node10/status/failed").unwrap().as_str(), "node10");
        assert_eq!(host_of("ha_cluster/compute_nodes//status"), None);
        assert_eq!(
            incident_of("ha_cluster/incidents/n.example.org@3/lock").unwrap().to_string(),
            "n.example.org@3"
        );
        assert!(host(&"node1".parse().unwrap()).all().ends_with("/node1/"));
    }
}
