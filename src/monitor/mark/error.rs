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
            MarkError::Open { source, .. }
            | MarkError::Order { source: AddOrderError::Write { source }, .. } => Some(source.hint()),
            MarkError::Order { source: AddOrderError::Read { source }, .. } => source.hint(),
        }
    }
}
