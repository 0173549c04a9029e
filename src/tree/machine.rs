//! Configuration of hosts and HA nodes: names, SSH access, maintenance, targets, storage.

use serde::{Deserialize, Serialize};

use super::formats::Kind;
use super::record::Record;
use super::{Snapshot, TreeError};
use crate::keys::MachineKeys;

/// `config/names`: what others call this machine, where they differ from its name in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherNames {
    /// Format version.
    pub version: u64,
    /// Consul's node name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consul_node: Option<String>,
    /// Nova's service host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nova_host: Option<String>,
    /// Nova's hypervisor hostname.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hypervisor_hostname: Option<String>,
}

impl Record for OtherNames {
    const VERSION: u64 = Kind::Names.newest();
}

/// What Consul calls a machine.
pub fn consul_node(snapshot: &Snapshot, keys: &MachineKeys, name: &str) -> Result<String, TreeError> {
    let names: Option<OtherNames> = snapshot.record(&keys.names())?;
    Ok(names.and_then(|n| n.consul_node).unwrap_or_else(|| name.to_owned()))
}

/// Whether the machine runs a Consul agent (`config/agent`; anything but `none` is a yes).
pub fn has_agent(snapshot: &Snapshot, keys: &MachineKeys) -> Result<bool, TreeError> {
    match snapshot.text(&keys.agent())?.as_deref() {
        None => Ok(true),
        Some("none") => Ok(false),
        Some("consul") => Ok(true),
        Some(other) => Err(TreeError::Malformed {
            key: keys.agent(),
            why: format!("{other:?} is neither none nor consul"),
        }),
    }
}

/// How to log in to a machine; the secrets may be references (`file:`, `env:`).
#[derive(Clone)]
pub struct SshAccess {
    /// Where to connect; absent means the machine's name.
    pub address: Option<String>,
    /// TCP port.
    pub port: u16,
    /// Account.
    pub user: Option<String>,
    /// Password or a reference to one, as stored.
    pub password: Option<String>,
    /// Private key in OpenSSH PEM, or a reference to one, as stored.
    pub private_key: Option<String>,
    /// Pinned public host keys, one per line (`ssh-ed25519 AAAA...`).
    pub host_keys: Vec<String>,
}

impl std::fmt::Debug for SshAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SshAccess")
            .field("address", &self.address)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl SshAccess {
    /// Reads `config/ssh/`.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, TreeError> {
        let field = |name: &str| snapshot.text(&keys.ssh_field(name));
        let port = match snapshot.number::<u16>(&keys.ssh_field("port"))? {
            None => 22,
            Some(0) => {
                return Err(TreeError::Malformed { key: keys.ssh_field("port"), why: "0 is no port".into() });
            }
            Some(port) => port,
        };
        let host_keys = field("host_key")?
            .map(|text| text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect())
            .unwrap_or_default();
        Ok(Self {
            address: field("address")?,
            port,
            user: field("user")?,
            password: field("password")?,
            private_key: field("private_key")?,
            host_keys,
        })
    }
}

/// `ha_nodes/{ha-node}/config/targets`: where the guests that this HA node recovers go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case", deny_unknown_fields)]
pub enum Targets {
    /// To this HA node, as the original did.
    #[default]
    ThisHaNode,
    /// To the first of these Nova hosts that can take them.
    Hosts {
        /// Nova service hosts, in order of preference.
        hosts: Vec<String>,
    },
    /// Wherever Nova's scheduler says.
    Scheduler,
}

impl Targets {
    /// Reads `config/targets`; absent means this HA node.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, TreeError> {
        let key = keys.targets();
        let Some(text) = snapshot.text(&key)? else { return Ok(Self::default()) };
        let targets: Self = serde_json::from_str(&text)
            .map_err(|e| TreeError::Malformed { key: key.clone(), why: e.to_string() })?;
        match &targets {
            Targets::Hosts { hosts } if hosts.is_empty() => {
                Err(TreeError::Malformed { key, why: "the list of hosts is empty".into() })
            }
            Targets::ThisHaNode | Targets::Scheduler | Targets::Hosts { .. } => Ok(targets),
        }
    }
}
