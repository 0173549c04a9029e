//! Why a recovery does not go on.

use super::twin::Twin;
use crate::fence::off::LeaseLost;
use crate::incident::journal::HeldCause;
use crate::store::StoreError;
use crate::tree::TreeError;
use crate::tree::formats::HeldBack;

/// Why a recovery does not go on. None of these undoes anything.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// Something must change first; it is said aloud and tried again.
    #[error("waiting: {}", reasons.join("; "))]
    Waiting {
        /// For what.
        reasons: Vec<String>,
        /// The operator's next commands.
        next: Vec<String>,
    },
    /// Only a person leads on.
    #[error("held: {reason}")]
    Held {
        /// Why.
        reason: String,
        /// What of it decides how a recovery that is resumed goes on.
        cause: Option<HeldCause>,
    },
    /// The host came back before the point of no return.
    #[error("withdrawn: {reason}")]
    Withdrawn {
        /// What was seen.
        reason: String,
    },
    /// The lease is gone: another may be acting. Nothing more is done.
    #[error("stopped")]
    Lease {
        /// What happened.
        #[source]
        source: LeaseLost,
    },
    /// Another machine acts by this HA node's name.
    #[error("{twin}")]
    Twin {
        /// How it was seen.
        twin: Twin,
    },
    /// Somebody else wrote the incident: a person, or an adopter.
    #[error("the incident was changed by somebody else: {what}")]
    Moved {
        /// Consul's words.
        what: String,
    },
    /// Consul did not answer.
    #[error("Consul did not let the recovery {doing}")]
    Store {
        /// What was being attempted.
        doing: &'static str,
        /// The cause.
        source: StoreError,
    },
    /// The tree cannot be used.
    #[error("the tree cannot be used")]
    Tree {
        /// The cause.
        #[source]
        source: TreeError,
    },
    /// The journal does not follow from itself: written by another version, or damaged.
    #[error("the journal of {incident} cannot be continued: {why}")]
    Journal {
        /// Which.
        incident: String,
        /// Why.
        why: String,
    },
}

impl Stop {
    /// Waiting for one thing.
    pub fn waiting(reason: impl Into<String>, next: impl Into<String>) -> Self {
        Stop::Waiting { reasons: vec![reason.into()], next: vec![next.into()] }
    }

    /// The operator's next command, where the reason itself says one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Stop::Tree { source } => source.hint(),
            Stop::Store { source, .. } => Some(source.hint()),
            Stop::Waiting { next, .. } => next.first().cloned(),
            Stop::Journal { incident, .. } => Some(format!("nova-ha incident show {incident}")),
            Stop::Twin { twin } => Some(twin.hint()),
            Stop::Held { .. } | Stop::Withdrawn { .. } | Stop::Lease { .. } | Stop::Moved { .. } => None,
        }
    }

    /// Only a person leads on.
    pub fn held(reason: impl Into<String>) -> Self {
        Stop::Held { reason: reason.into(), cause: None }
    }
}

impl From<HeldBack> for Stop {
    fn from(held: HeldBack) -> Self {
        let next = held.hint();
        Stop::waiting(held.to_string(), next)
    }
}

impl From<LeaseLost> for Stop {
    fn from(source: LeaseLost) -> Self {
        Stop::Lease { source }
    }
}
