//! Why there is no evidence to judge on.

use crate::store::StoreError;
use crate::tree::TreeError;

/// Why there is no evidence to judge on.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// The tree cannot be used.
    #[error("cannot read the tree")]
    Tree {
        /// The cause.
        #[source]
        source: TreeError,
    },
    /// Consul did not answer.
    #[error("cannot read {what} from Consul")]
    Store {
        /// What.
        what: &'static str,
        /// The cause.
        source: StoreError,
    },
    /// Something that must be there is not in the answer: the token may not read it.
    #[error("Consul shows no {what}: the token may not read it (denied reads look empty)")]
    Denied {
        /// What must be there.
        what: String,
    },
}

impl EvidenceError {
    /// Whether Consul had no leader, as far as this machine can tell.
    pub fn is_no_leader(&self) -> bool {
        let source = match self {
            EvidenceError::Store { source, .. }
            | EvidenceError::Tree { source: TreeError::Read { source, .. } } => source,
            EvidenceError::Tree { .. } | EvidenceError::Denied { .. } => return false,
        };
        matches!(source, StoreError::NoLeader { .. })
    }

    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            EvidenceError::Tree { source } => source.hint(),
            EvidenceError::Store { source, .. } => Some(source.hint()),
            EvidenceError::Denied { .. } => {
                Some("give this executable a token with its policy: nova-ha generate acl --out DIR".into())
            }
        }
    }
}
