//! What the tree names of an HA node's own: programs that it would run, agents and options, files and variables that it would
//! read. Whether its root allows each of them is asked of [`crate::local`].

use std::collections::{BTreeMap, BTreeSet};

use crate::fence::FenceConfig;
use crate::keys::{self, MachineKeys};
use crate::local::{Asked, Leave, Local, Refused, word};
use crate::names::HaNodeName;
use crate::secret::SecretRef;
use crate::store::Store;
use crate::tree::nova_names::TreeMachine;
use crate::tree::{Snapshot, TreeError};

/// Everything that is named, each with the first key that names it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named(BTreeMap<Asked, String>);

impl Named {
    /// What one machine's keys name for whoever looks at it, or powers it off.
    ///
    /// What cannot be understood names nothing: it is a fault of its own, and is used by nobody.
    pub fn of_machine<'a>(keys: &MachineKeys, value: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let mut named = Self::default();
        let fence = keys.fence();
        if let Some(config) = value(&fence).and_then(|value| FenceConfig::parse(&fence, value).ok()) {
            config.asked().into_iter().for_each(|asked| named.add(asked, &fence));
        }
        for key in [keys.bmc_field("password"), keys.ssh_field("password"), keys.ssh_field("private_key")] {
            let text = value(&key).and_then(|value| std::str::from_utf8(value).ok());
            let reference = text.and_then(|text| SecretRef::parse(text.trim_end()).ok());
            if let Some(asked) = reference.as_ref().and_then(SecretRef::asked) {
                named.add(asked, &key);
            }
        }
        named
    }

    /// The storage program that an HA node's keys name.
    pub fn of_storage<'a>(keys: &MachineKeys, value: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let mut named = Self::default();
        let key = keys.storage_exec();
        let text = value(&key).and_then(|value| std::str::from_utf8(value).ok());
        if let Some(line) = text.and_then(|text| word::program_line(text).ok()) {
            named.add(Asked::Program(line), &key);
        }
        named
    }

    /// What a tree names of one HA node's: its storage program, and what it would need to look at and to power off each of
    /// these machines.
    pub fn of_ha_node(
        tree: &Snapshot,
        node: &HaNodeName,
        machines: impl IntoIterator<Item = TreeMachine>,
    ) -> Self {
        let value = |key: &str| tree.get(key).map(|entry| entry.value.as_slice());
        let mut named = Self::of_storage(&keys::ha_node(node), value);
        for machine in machines {
            named.merge(Self::of_machine(&machine.keys(), value));
        }
        named
    }

    /// The same, read from the tree.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store, node: &HaNodeName) -> Result<Self, TreeError> {
        let mut there = BTreeSet::new();
        for prefix in [keys::HOSTS, keys::HA_NODES] {
            let read = store.keys(prefix, false).await;
            there.extend(read.map_err(|source| TreeError::Read { what: prefix.to_owned(), source })?);
        }
        let hosts = there.iter().filter_map(|key| keys::host_of(key)).map(TreeMachine::Host);
        let ha_nodes = there.iter().filter_map(|key| keys::ha_node_of(key)).map(TreeMachine::HaNode);
        let machines: BTreeSet<TreeMachine> = hosts.chain(ha_nodes).collect();
        let of_a_machine = |machine: &TreeMachine| {
            let keys = machine.keys();
            let secrets = ["password", "private_key"].map(|field| keys.ssh_field(field));
            [vec![keys.fence(), keys.bmc_field("password")], secrets.to_vec()].concat()
        };
        let wanted = machines.iter().flat_map(of_a_machine).chain([keys::ha_node(node).storage_exec()]);
        let wanted: Vec<String> = wanted.filter(|key| there.contains(key)).collect();
        let tree = Snapshot::read(store, "what the tree names of this HA node", &wanted).await?;
        Ok(Self::of_ha_node(&tree, node, machines))
    }

    fn add(&mut self, asked: Asked, key: &str) {
        self.0.entry(asked).or_insert_with(|| key.to_owned());
    }

    /// All of both.
    pub fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|(asked, key)| self.add(asked, &key));
    }

    /// Each, with the key that names it.
    pub fn iter(&self) -> impl Iterator<Item = (&Asked, &str)> {
        self.0.iter().map(|(asked, key)| (asked, key.as_str()))
    }

    /// What goes on at first sight only.
    pub fn first_sights<'a>(&'a self, local: &'a Local) -> impl Iterator<Item = (&'a Asked, &'a str)> {
        self.iter().filter(|(asked, _)| local.is_first_sight(asked))
    }

    /// What this machine's root does not allow.
    pub fn refused<'a>(&'a self, local: &'a Local) -> impl Iterator<Item = Box<Refused>> + 'a {
        self.0.keys().filter_map(|asked| match local.leave(asked) {
            Leave::Refused(refused) => Some(refused),
            Leave::Given | Leave::FirstSight => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::Entry;

    fn tree(pairs: &[(String, &str)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        snapshot.extend(pairs.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: value.as_bytes().to_vec(),
            modify_index: 1,
            session: None,
        }));
        snapshot
    }

    fn machines() -> Vec<TreeMachine> {
        let host = TreeMachine::Host("compute1".parse().unwrap());
        vec![host, TreeMachine::HaNode("ha1".parse().unwrap()), TreeMachine::HaNode("ha2".parse().unwrap())]
    }

    fn whole() -> Snapshot {
        let host = keys::host(&"compute1".parse().unwrap());
        let [ha1, ha2] = ["ha1", "ha2"].map(|name| keys::ha_node(&name.parse().unwrap()));
        let fence = r#"{"version":1,"levels":[{"driver":"agent","agent":"fence_virsh",
            "options":{"ip":"a","missing_as_off":"1"},"secret_options":{"password":"file:/root/virsh"}}]}"#;
        tree(&[
            (host.fence(), fence),
            (host.ssh_field("private_key"), "file:/root/key\n"),
            (ha1.bmc_field("password"), "env:BMC_PW"),
            (ha2.bmc_field("password"), "hunter2"),
            (ha2.fence(), "no JSON"),
            (ha1.storage_exec(), "/opt/take  --pool a"),
            (ha2.storage_exec(), "/opt/other"),
        ])
    }

    #[test]
    fn an_ha_node_needs_its_own_program_and_the_fences_and_logins_of_every_machine() {
        let named = Named::of_ha_node(&whole(), &"ha1".parse().unwrap(), machines());
        let local = Local::read(Path::new("/nonexistent/local.toml"));
        let seen: Vec<String> =
            named.first_sights(&local).map(|(asked, key)| format!("{asked} {key}")).collect();
        assert_eq!(
            seen,
            [
                "storage program \"/opt/take --pool a\" ha_cluster/ha_nodes/ha1/config/storage_exec",
                "option missing_as_off of fence_virsh ha_cluster/compute_nodes/compute1/config/fence",
                "secret file:/root/key ha_cluster/compute_nodes/compute1/config/ssh/private_key",
                "secret file:/root/virsh ha_cluster/compute_nodes/compute1/config/fence",
                "secret env:BMC_PW ha_cluster/ha_nodes/ha1/config/bmc/password",
            ]
        );
        assert_eq!(named.refused(&local).count(), 0, "nobody is disarmed by an upgrade");
    }

    #[test]
    fn what_root_does_not_name_is_refused_and_what_every_switch_needs_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let toml = folder.path().join("local.toml");
        let named = Named::of_ha_node(&whole(), &"ha1".parse().unwrap(), machines());
        std::fs::write(&toml, "").unwrap();
        assert_eq!(named.refused(&Local::read(&toml)).count(), 5);
        let all = "storage_programs = [\"/opt/take --pool a\"]\nsecret_folders = [\"/root\"]\n\
                   secret_variables = [\"BMC_PW\"]\n[agents.fence_virsh]\noptions = [\"missing_as_off\"]";
        std::fs::write(&toml, all).unwrap();
        let local = Local::read(&toml);
        assert_eq!(named.refused(&local).collect::<Vec<_>>(), []);
        assert_eq!(named.first_sights(&local).count(), 0);
    }
}
