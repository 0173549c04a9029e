//! Why a command did nothing, and what the operator can type next.

use std::path::PathBuf;

use crate::names::{HostName, IncidentId, NameError};
use crate::store::StoreError;
use crate::tree::TreeError;
use crate::tree::formats::HeldBack;

/// Why a command failed. Unless a variant says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The tree cannot be read or understood.
    #[error("cannot {doing}")]
    Tree {
        /// What was being attempted.
        doing: String,
        /// The cause.
        source: TreeError,
    },
    /// Consul did not take the transaction; see [`StoreError::effect_may_have_happened`].
    #[error("cannot {doing}")]
    Write {
        /// What was being attempted.
        doing: String,
        /// The cause.
        source: StoreError,
    },
    /// Something moved between reading and writing.
    #[error("could not {doing}: {key} was changed meanwhile ({what}); nothing was written")]
    Moved {
        /// What was being attempted.
        doing: String,
        /// The key that refused.
        key: String,
        /// Consul's words.
        what: String,
    },
    /// More operations than one transaction may have.
    #[error("could not {doing}: it takes {operations} operations in one transaction, Consul allows 64")]
    TooLarge {
        /// What was being attempted.
        doing: String,
        /// Operations needed.
        operations: usize,
    },
    /// An option or argument holds something that cannot be right.
    #[error("{option}: {why}")]
    Input {
        /// The option, as it is typed.
        option: String,
        /// What is wrong.
        why: String,
    },
    /// A name that is none.
    #[error("this name cannot be used")]
    Name {
        /// The cause.
        source: NameError,
    },
    /// A file given on the command line.
    #[error("cannot {doing} {path}")]
    File {
        /// *read*, *write*.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The machine is there already.
    #[error("{what} {name} is already there")]
    Exists {
        /// *host* or *HA node*.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A name that Consul's catalog would merge with another.
    #[error(
        "{name} differs from the {what} {other} in nothing but case, and Consul's catalog takes them for one"
    )]
    CaseClash {
        /// The name asked for.
        name: String,
        /// *host* or *HA node*.
        what: &'static str,
        /// The one that is there.
        other: String,
    },
    /// Nobody added this machine.
    #[error("{what} {name} is not in the tree{}", .like.as_ref().map(|l| format!("; did you mean {l}?")).unwrap_or_default())]
    Unknown {
        /// *host*, *HA node*, *incident*.
        what: &'static str,
        /// The name asked for.
        name: String,
        /// A name that is there and differs only a little.
        like: Option<String>,
    },
    /// An incident of this host is open.
    #[error("incident {id} is open: {host} cannot be {doing} before it is closed")]
    OpenIncident {
        /// The host.
        host: HostName,
        /// Its incident.
        id: IncidentId,
        /// *removed*, *reset*.
        doing: &'static str,
    },
    /// The HA node is held by an incident.
    #[error("HA node {name} is in use{}: it cannot be removed", .by.as_ref().map(|b| format!(" by {b}")).unwrap_or_default())]
    InUse {
        /// The HA node.
        name: String,
        /// The incident that holds it.
        by: Option<String>,
    },
    /// Something must be so before this may be done.
    #[error("{name} is not {doing}: {why}")]
    NotNow {
        /// Host or incident.
        name: String,
        /// *reset*, *confirmed off*, ...
        doing: &'static str,
        /// What is in the way.
        why: String,
        /// What to type instead.
        next: Option<String>,
    },
    /// A destructive command without the name typed.
    #[error("this needs the name typed: {why}")]
    NotConfirmed {
        /// *no terminal to ask on*, *"x" is not NAME*.
        why: String,
        /// The exact command that confirms.
        command: String,
    },
    /// Nova or keystone. What was done before stays done.
    #[error("cannot {doing}: {why}")]
    Cloud {
        /// What was being attempted.
        doing: String,
        /// The causes.
        why: String,
        /// What to do then.
        next: String,
    },
    /// A configured HA node would not read what is to be written.
    #[error("cannot {doing}")]
    HeldBack {
        /// What was being attempted.
        doing: String,
        /// The HA nodes, and what they do not read.
        source: HeldBack,
    },
    /// A policy that cannot work.
    #[error("this policy cannot work: {}", .faults.join("; "))]
    Policy {
        /// Each fault with its bound.
        faults: Vec<String>,
    },
    /// A template of ours does not hold what it should.
    #[error("cannot fill a template")]
    Template {
        /// The cause.
        source: crate::generate::TemplateError,
    },
    /// A result that JSON cannot hold.
    #[error("cannot write the result as JSON")]
    Render {
        /// The cause.
        source: serde_json::Error,
    },
}

impl OperatorError {
    /// Whether another look a moment later may find it otherwise. No write is meant, and nothing that a person must change.
    pub fn may_pass(&self) -> bool {
        let consul_is_away = matches!(self, Self::Tree { source: TreeError::Read { source, .. }, .. } if source.is_retryable());
        consul_is_away || matches!(self, Self::NotNow { .. })
    }

    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            OperatorError::Tree { source, .. } => source.hint(),
            OperatorError::Write { source, .. } if source.effect_may_have_happened() => {
                Some("it may have happened all the same; look first: nova-ha status".into())
            }
            OperatorError::Write { source: StoreError::Denied { .. }, .. } => Some(
                "use an operator's token (CONSUL_HTTP_TOKEN_FILE): nova-ha generate acl --out DIR".into(),
            ),
            OperatorError::Write { .. } => {
                Some("check CONSUL_HTTP_ADDR and the token: consul members".into())
            }
            OperatorError::Moved { .. } => Some("look again, then repeat the command: nova-ha status".into()),
            OperatorError::Exists { what: "host", name } => {
                Some(format!("to change it: nova-ha host add {name} --replace ..."))
            }
            OperatorError::Exists { name, .. } => {
                Some(format!("to change it: nova-ha ha-node add {name} --replace ..."))
            }
            OperatorError::Unknown { what: "host", .. } => Some("nova-ha host list".into()),
            OperatorError::Unknown { what: "HA node", .. } => Some("nova-ha ha-node list".into()),
            OperatorError::Unknown { .. } => Some("nova-ha incident list".into()),
            OperatorError::CaseClash { what: "host", .. } => Some("nova-ha host list".into()),
            OperatorError::CaseClash { .. } => Some("nova-ha ha-node list".into()),
            OperatorError::OpenIncident { id, .. } => Some(format!("nova-ha incident show {id}")),
            OperatorError::InUse { by: Some(by), .. } => Some(format!("nova-ha incident show {by}")),
            OperatorError::InUse { name, by: None } => Some(format!("nova-ha ha-node free {name} --by NAME")),
            OperatorError::HeldBack { source, .. } => Some(source.hint()),
            OperatorError::NotNow { next, .. } => next.clone(),
            OperatorError::Cloud { next, .. } => Some(next.clone()),
            OperatorError::NotConfirmed { command, .. } => Some(command.clone()),
            OperatorError::Policy { .. } => Some("nova-ha policy show".into()),
            OperatorError::TooLarge { .. }
            | OperatorError::Input { .. }
            | OperatorError::Name { .. }
            | OperatorError::File { .. }
            | OperatorError::Template { .. }
            | OperatorError::Render { .. } => None,
        }
    }
}

/// Says what was being attempted when the tree did not answer.
pub(crate) fn tree(doing: impl Into<String>) -> impl FnOnce(TreeError) -> OperatorError {
    let doing = doing.into();
    move |source| OperatorError::Tree { doing, source }
}

/// Says what was being attempted when an HA node turned out to be too old for it.
pub(crate) fn held_back(doing: impl Into<String>) -> impl FnOnce(HeldBack) -> OperatorError {
    let doing = doing.into();
    move |source| OperatorError::HeldBack { doing, source }
}
