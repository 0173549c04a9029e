//! Which of Nova's hosts a machine of the tree is. Nova's guests are evacuated by this name, so it is never the machine's
//! own word: an operator's (`config/names`), or else the machine's name in the tree. What a host publishes about
//! itself is compared with it, and contradicts its publisher only.

use std::collections::BTreeSet;
use std::fmt;

use super::machine::OtherNames;
use super::published::Published;
use super::{Snapshot, TreeError};
use crate::keys::{self, MachineKeys};
use crate::names::{HaNodeName, HostName, is_one};
use crate::store::Store;

/// A machine of the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeMachine {
    /// A compute host.
    Host(HostName),
    /// An HA node.
    HaNode(HaNodeName),
}

impl TreeMachine {
    /// All machines that somebody added: a name without `general` is none.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn all(store: &dyn Store) -> Result<BTreeSet<Self>, TreeError> {
        let mut found = Vec::new();
        for prefix in [keys::HOSTS, keys::HA_NODES] {
            let read = store.keys(prefix, false).await;
            found.extend(read.map_err(|source| TreeError::Read { what: prefix.to_owned(), source })?);
        }
        let there: BTreeSet<&String> = found.iter().collect();
        let hosts = found.iter().filter_map(|key| keys::host_of(key)).map(TreeMachine::Host);
        let ha_nodes = found.iter().filter_map(|key| keys::ha_node_of(key)).map(TreeMachine::HaNode);
        let is_added = |machine: &TreeMachine| there.contains(&machine.keys().general());
        Ok(hosts.chain(ha_nodes).filter(is_added).collect())
    }

    /// Its keys.
    pub fn keys(&self) -> MachineKeys {
        match self {
            TreeMachine::Host(name) => keys::host(name),
            TreeMachine::HaNode(name) => keys::ha_node(name),
        }
    }

    /// Its name in the tree.
    pub fn name(&self) -> &str {
        match self {
            TreeMachine::Host(name) => name.as_str(),
            TreeMachine::HaNode(name) => name.as_str(),
        }
    }
}

impl fmt::Display for TreeMachine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TreeMachine::Host(name) => write!(f, "host {name}"),
            TreeMachine::HaNode(name) => write!(f, "HA node {name}"),
        }
    }
}

/// The Nova host that a machine is bound to.
///
/// # Errors
/// `config/names` cannot be understood.
pub fn bound(snapshot: &Snapshot, machine: &TreeMachine) -> Result<String, TreeError> {
    let names: Option<OtherNames> = snapshot.record(&machine.keys().names())?;
    Ok(names.and_then(|names| names.nova_host).unwrap_or_else(|| machine.name().to_owned()))
}

/// The Nova host that a host has published, where that is not the one it is bound to. Exactly compared: to Nova,
/// `node1` and `node1.example.org` are two hosts. Its own word that cannot be understood names no other host: the
/// host is what it is bound to, and `nova-ha status` names the field.
///
/// # Errors
/// `config/names` cannot be understood.
fn published_otherwise(snapshot: &Snapshot, host: &HostName) -> Result<Option<String>, TreeError> {
    let bound = bound(snapshot, &TreeMachine::Host(host.clone()))?;
    let published = Published::of(snapshot, &keys::host(host)).nova_host();
    Ok(published.ok().flatten().filter(|published| *published != bound))
}

/// Why it is in doubt which of Nova's hosts a host is. Such a host is not recovered, nor given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Doubt {
    /// It has published another name than it is bound to.
    Published {
        /// By an operator's word, or its own name.
        bound: String,
        /// By its own word.
        published: String,
    },
    /// Other machines are bound to the same Nova host.
    Shared {
        /// The Nova host.
        bound: String,
        /// The others.
        others: Vec<TreeMachine>,
    },
}

impl Doubt {
    /// For people: a predicate, after the host's name and a colon.
    pub fn text(&self) -> String {
        match self {
            Doubt::Published { bound, published } => format!(
                "it publishes that Nova calls it {published}, and it is bound to {bound}; a host's own word does not \
                 decide whose guests are evacuated"
            ),
            Doubt::Shared { bound, others } => {
                let others: Vec<String> = others.iter().map(ToString::to_string).collect();
                format!("bound to Nova host {bound}, as {}; each Nova host is one machine", others.join(", "))
            }
        }
    }

    /// The operator's next command.
    pub fn next(&self, host: &HostName) -> String {
        let bind = format!("nova-ha host add {host} --replace --nova-host NAME");
        match self {
            Doubt::Published { bound, .. } => {
                format!(
                    "{bind}   (the right one; if that is {bound}: with --forget-published-nova-host; if it is as published: \
                     nova-ha host accept {host} --by NAME)"
                )
            }
            Doubt::Shared { .. } => format!("{bind}   (openstack compute service list)"),
        }
    }
}

/// What all machines of the tree are bound to.
#[derive(Debug, Clone, Default)]
pub struct NovaNames {
    bound: Vec<(TreeMachine, String)>,
}

impl NovaNames {
    /// Reads the names of all machines. One whose `config/names` cannot be understood is bound to nothing here: it has
    /// a fault of its own, and recovers nobody's guests.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let machines = TreeMachine::all(store).await?;
        let names: Vec<String> = machines.iter().map(|machine| machine.keys().names()).collect();
        let snapshot = Snapshot::read(store, "the names of all machines", &names).await?;
        Ok(Self::of(&snapshot, machines))
    }

    /// The same of what was read.
    pub fn of(snapshot: &Snapshot, machines: impl IntoIterator<Item = TreeMachine>) -> Self {
        let named = |machine: TreeMachine| bound(snapshot, &machine).ok().map(|name| (machine, name));
        Self { bound: machines.into_iter().filter_map(named).collect() }
    }

    /// The other machines that are bound to this Nova host. Ignoring case, as Nova's own database compares.
    pub fn others(&self, machine: &TreeMachine, nova_host: &str) -> Vec<TreeMachine> {
        let same = |(other, name): &&(TreeMachine, String)| other != machine && is_one(name, nova_host);
        self.bound.iter().filter(same).map(|(other, _)| other.clone()).collect()
    }

    /// All doubts about one host.
    ///
    /// # Errors
    /// `config/names` cannot be understood.
    pub fn doubts(&self, snapshot: &Snapshot, host: &HostName) -> Result<Vec<Doubt>, TreeError> {
        let machine = TreeMachine::Host(host.clone());
        let bound = bound(snapshot, &machine)?;
        let published = published_otherwise(snapshot, host)?;
        let others = self.others(&machine, &bound);
        let shared = (!others.is_empty()).then(|| Doubt::Shared { bound: bound.clone(), others });
        let published = published.map(|published| Doubt::Published { bound, published });
        Ok(published.into_iter().chain(shared).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn host(name: &str) -> TreeMachine {
        TreeMachine::Host(name.parse().unwrap())
    }

    fn tree(entries: &[(String, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.extend(entries.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: value.as_bytes().to_vec(),
            modify_index: 1,
            session: None,
        }));
        snapshot
    }

    #[test]
    fn a_machine_is_what_an_operator_says_or_its_own_name_and_never_what_it_publishes() {
        let [one, two] = ["compute1", "compute2"].map(|name| keys::host(&name.parse().unwrap()));
        let tree = tree(&[
            (one.runtime_config(), r#"{"version":1,"nova_host":"compute2"}"#),
            (two.names(), r#"{"version":1,"nova_host":"cmp-2"}"#),
            (two.runtime_config(), r#"{"version":1,"nova_host":"cmp-2"}"#),
        ]);
        assert_eq!(bound(&tree, &host("compute1")).unwrap(), "compute1");
        assert_eq!(bound(&tree, &host("compute2")).unwrap(), "cmp-2");
        let otherwise = |name: &str| published_otherwise(&tree, &name.parse().unwrap()).unwrap();
        assert_eq!(otherwise("compute1").as_deref(), Some("compute2"));
        assert_eq!(otherwise("compute2"), None);
        assert_eq!(otherwise("compute3"), None, "it has published nothing");
    }

    #[test]
    fn a_short_name_and_its_long_form_are_two_hosts_to_nova() {
        let one = keys::host(&"node1".parse().unwrap());
        let tree = tree(&[(one.runtime_config(), r#"{"version":1,"nova_host":"node1.example.org"}"#)]);
        let otherwise = published_otherwise(&tree, &"node1".parse().unwrap()).unwrap();
        assert_eq!(otherwise.as_deref(), Some("node1.example.org"));
    }

    #[test]
    fn two_machines_of_one_nova_host_are_found_in_any_case_and_a_claim_binds_nobody() {
        let [one, three] = ["compute1", "compute3"].map(|name| keys::host(&name.parse().unwrap()));
        let ha1 = TreeMachine::HaNode("ha1".parse().unwrap());
        let tree = tree(&[
            (one.names(), r#"{"version":1,"nova_host":"Compute2"}"#),
            (three.runtime_config(), r#"{"version":1,"nova_host":"compute2"}"#),
            (ha1.keys().names(), "{"),
        ]);
        let names = NovaNames::of(&tree, [host("compute1"), host("compute2"), host("compute3"), ha1]);
        assert_eq!(names.others(&host("compute1"), "Compute2"), [host("compute2")]);
        assert_eq!(names.others(&host("compute2"), "compute2"), [host("compute1")]);
        assert_eq!(names.others(&host("compute3"), "compute3"), []);
    }
}
