//! Why a part of the tree cannot be used.

use crate::say::short;
use crate::store::StoreError;

/// Why a part of the tree cannot be used; every variant names the key.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Consul did not answer.
    #[error("cannot read {what}")]
    Read {
        /// What was being read.
        what: String,
        /// The cause.
        source: StoreError,
    },
    /// The sentinel is not there: no tree, or a token that may not read it.
    #[error("ha_cluster/meta is not readable: this tree was never initialised, or the token may not read it")]
    NoMeta,
    /// The sentinel of a folder is not there: whatever else is in it is not to be seen either.
    #[error("{key} is not readable: this tree was never initialised, or the token may not read it")]
    NoSentinel {
        /// The sentinel.
        key: String,
    },
    /// A boolean key holds something else.
    #[error("{key} holds {value:?}, which is neither True nor False")]
    NotAFlag {
        /// The key.
        key: String,
        /// Its value, cut to 40 characters.
        value: String,
    },
    /// A value is not what its key should hold.
    #[error("{key} cannot be understood: {}", short(why))]
    Malformed {
        /// The key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// Written by a newer nova-ha: read-only to this one.
    #[error("{key} has format version {found}, this nova-ha knows versions up to {known}")]
    Newer {
        /// The key.
        key: String,
        /// Version found.
        found: u64,
        /// Highest version known.
        known: u64,
    },
    /// A key that must be there is not (or may not be read).
    #[error("{key} is missing, or the token may not read it")]
    Missing {
        /// The key.
        key: String,
    },
    /// Nobody added this machine.
    #[error("{what} {name} is not configured in the tree")]
    Unknown {
        /// *host* or *HA node*.
        what: &'static str,
        /// The name asked for.
        name: String,
    },
}

impl TreeError {
    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            TreeError::Read { source, .. } => Some(source.hint()),
            TreeError::NoMeta | TreeError::NoSentinel { .. } => Some(
                "use a token that may read it (CONSUL_HTTP_TOKEN_FILE): nova-ha generate acl --out DIR; only for a new tree: nova-ha init"
                    .into(),
            ),
            TreeError::NotAFlag { key, .. } => Some(format!("consul kv put {key} False   (or True)")),
            TreeError::Malformed { key, .. } => Some(format!("look at it: consul kv get {key}")),
            TreeError::Newer { .. } => Some("upgrade nova-ha on this node".into()),
            TreeError::Missing { key } => Some(format!("look at it: consul kv get {key}")),
            TreeError::Unknown { what: "HA node", name } => Some(format!("nova-ha ha-node add {name}")),
            TreeError::Unknown { name, .. } => Some(format!("nova-ha host list; nova-ha host add {name}")),
        }
    }
}
