//! Why a run could not judge.

use super::open::AddOrderError;
use crate::evidence::EvidenceError;
use crate::names::HostName;
use crate::store::StoreError;
use crate::tree::namesake::Namesake;

/// Why a run could not judge.
#[derive(Debug, thiserror::Error)]
pub enum MarkError {
    /// There is no evidence.
    #[error("cannot judge: there is no evidence")]
    Evidence {
        /// The cause.
        source: EvidenceError,
    },
    /// The marking transaction did not get through.
    #[error("cannot open the incident of {host}")]
    Open {
        /// Which host.
        host: HostName,
        /// The cause.
        source: StoreError,
    },
    /// This machine is not the HA node by whose name it judges.
    #[error("nothing was judged")]
    Namesake {
        /// How it was seen.
        #[source]
        namesake: Namesake,
    },
    /// A person's order was not given.
    #[error("cannot give the order for {host}")]
    NotOrdered {
        /// Which host.
        host: HostName,
        /// The cause.
        source: StoreError,
    },
    /// An order could not be recorded.
    #[error("cannot record the order for {host}")]
    Order {
        /// Which host.
        host: HostName,
        /// The cause.
        source: AddOrderError,
    },
}

impl MarkError {
    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            MarkError::Evidence { source } => source.hint(),
            MarkError::Namesake { namesake } => Some(namesake.hint()),
            // Only people's tokens may: a check's token must not shoot anybody.
            MarkError::NotOrdered { source: StoreError::Denied { .. }, .. }
            | MarkError::Order {
                source: AddOrderError::Write { source: StoreError::Denied { .. } }, ..
            } => Some(
                "use the token of who is on call (CONSUL_HTTP_TOKEN_FILE): nova-ha generate acl --out DIR; \
                 consul-watches/README.md, \"Tokens\""
                    .into(),
            ),
            MarkError::Open { source, .. }
            | MarkError::NotOrdered { source, .. }
            | MarkError::Order { source: AddOrderError::Write { source }, .. } => Some(source.hint()),
            MarkError::Order { source: AddOrderError::Read { source }, .. } => source.hint(),
        }
    }
}
