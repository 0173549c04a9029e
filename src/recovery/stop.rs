//! Why a recovery does not go on.

use std::path::PathBuf;

use super::only_said::OnlySaid;
use crate::attention::{Row, Severity};
use crate::chain::chain;
use crate::fence::off::LeaseLost;
use crate::incident::journal::HeldCause;
use crate::machine_id::MachineId;
use crate::names::{HaNodeName, IncidentId};
use crate::store::StoreError;
use crate::tree::TreeError;
use crate::tree::foreign::Foreign;
use crate::tree::formats::HeldBack;
use crate::tree::namesake::Namesake;

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
    /// An earlier holder may have the storage, and lives: what follows from that is decided under the lease
    /// (`hand_back`).
    #[error("waiting: HA node {} may have the storage mounted, and lives: {}", lives.node, lives.why)]
    HolderLives {
        /// Which.
        lives: Lives,
    },
    /// A device says *off* by a way on which anyone can say so, and the machine is not known to be silent.
    #[error("waiting: {}", why.text())]
    OnlySaid {
        /// What was heard of it.
        why: Box<OnlySaid>,
    },
    /// The original, or a person, wrote a flag that no incident of ours explains.
    #[error("waiting: {}", flag.text())]
    Foreign {
        /// Which.
        flag: Foreign,
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

    /// The operator's next command, where the reason itself says one: of a run that has no incident yet.
    pub fn hint(&self) -> Option<String> {
        match self {
            Stop::Tree { source } => source.hint(),
            Stop::Store { source, .. } => Some(source.hint()),
            Stop::Waiting { next, .. } => next.first().cloned(),
            Stop::Journal { incident, .. } => Some(format!("nova-ha incident show {incident}")),
            Stop::Twin { twin } => Some(twin.hint()),
            Stop::HolderLives { lives } => Some(lives.next()),
            Stop::Foreign { flag } => Some(flag.next()),
            Stop::OnlySaid { why } => why.next().into_iter().next(),
            Stop::Held { .. } | Stop::Withdrawn { .. } | Stop::Lease { .. } | Stop::Moved { .. } => None,
        }
    }

    /// The row of the table: how much a person has to know it, and what to type. A recovery that stops says it at once;
    /// what stays so, the sweep and `nova-ha status` say (`crate::incident::attention`).
    pub fn row(&self, id: &IncidentId) -> Row {
        let show = || format!("nova-ha incident show {id}");
        let (severity, next) = match self {
            Stop::Waiting { next, .. } if next.is_empty() => (Severity::Warning, vec![show()]),
            Stop::Waiting { next, .. } => (Severity::Warning, next.clone()),
            Stop::Held { .. } => {
                (Severity::Warning, vec![show(), format!("nova-ha incident resume {id} --by NAME")])
            }
            // It is back, and out of service until somebody says otherwise.
            Stop::Withdrawn { .. } => {
                (Severity::Warning, vec![format!("nova-ha reset {} --by NAME", id.host())])
            }
            Stop::Journal { .. } => (Severity::Warning, vec![show()]),
            Stop::Tree { source } => (Severity::Warning, source.hint().into_iter().chain([show()]).collect()),
            Stop::Store { source, .. } => (Severity::Warning, vec![source.hint(), show()]),
            Stop::HolderLives { lives } => (Severity::Warning, vec![lives.next(), show()]),
            Stop::Foreign { flag } => (Severity::Warning, vec![flag.next(), show()]),
            Stop::OnlySaid { why } => (Severity::Warning, why.next().into_iter().chain([show()]).collect()),
            // Another machine has this HA node's name: until that is settled, neither recovers anything.
            Stop::Twin { .. } => (Severity::Warning, self.hint().into_iter().chain([show()]).collect()),
            // Another one goes on with it, or this one's next run does.
            Stop::Lease { .. } | Stop::Moved { .. } => (Severity::Fine, Vec::new()),
        };
        Row { severity, text: chain(self), next }
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

/// An earlier holder that lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lives {
    /// Which.
    pub node: HaNodeName,
    /// By whom it is seen, in one line.
    pub why: String,
    /// Whether that is a quorum.
    pub by_quorum: bool,
}

impl Lives {
    /// For people.
    pub fn text(&self) -> String {
        format!("HA node {} may have the storage mounted, and lives: {}", self.node, self.why)
    }

    /// The operator's next command.
    pub fn next(&self) -> String {
        let node = &self.node;
        format!("look at {node}: if it has nothing of it mounted, power it off; nova-ha ha-node show {node}")
    }
}

/// How another machine of this HA node's name was seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Twin {
    /// By Consul.
    #[error("{0}")]
    Agent(Namesake),
    /// By a journal.
    #[error(
        "two machines call themselves {node}: machine {} has incident {incident}, and this is machine {}",
        theirs.short(),
        ours.short()
    )]
    Holds {
        /// The name.
        node: HaNodeName,
        /// The incident that is held by it.
        incident: IncidentId,
        /// The machine that took it.
        theirs: MachineId,
        /// This one.
        ours: MachineId,
    },
    /// By a file that came here with a copied disk.
    #[error(
        "two machines call themselves {node}: {} was written by machine {}, and this is machine {}",
        path.display(),
        theirs.short(),
        ours.short()
    )]
    Remembers {
        /// The name.
        node: HaNodeName,
        /// What was copied.
        path: PathBuf,
        /// The machine that wrote it.
        theirs: MachineId,
        /// This one.
        ours: MachineId,
    },
}

impl Twin {
    /// The operator's next command.
    pub fn hint(&self) -> String {
        match self {
            Self::Agent(namesake) => namesake.hint(),
            Self::Holds { node, incident, .. } => format!(
                "give one of them another name (NOVA_HA_NODE); if {node} was installed anew and the other is no more: \
                 nova-ha incident hold {incident} --reason WHY --by NAME, then nova-ha incident resume {incident} \
                 --gone {node} --by NAME"
            ),
            Self::Remembers { node, path, .. } => format!(
                "if this machine was copied from {node}: give it a name of its own (NOVA_HA_NODE) and rm {}; if \
                 its /etc/machine-id was made anew: put the old one back",
                path.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::step::Step;

    /// One of each: a new one does not compile before it is here.
    fn all() -> Vec<Stop> {
        let machine = |id: &str| MachineId::try_from(id.repeat(32)).unwrap();
        let twin = Twin::Remembers {
            node: "ha1".parse().unwrap(),
            path: "/var/lib/nova-ha/takeovers".into(),
            theirs: machine("a"),
            ours: machine("b"),
        };
        let node = "ha1".parse().unwrap();
        let lives = Lives { node, why: "seen by ha2, ha3".into(), by_quorum: true };
        let lost = || StoreError::NoLeader { doing: "write".into() };
        let all = vec![
            Stop::waiting("its BMC does not answer", "nova-ha confirm-off c1 --by NAME"),
            Stop::Waiting { reasons: vec!["why".into()], next: Vec::new() },
            Stop::held("a guest may run twice"),
            Stop::Withdrawn { reason: "it answers again".into() },
            Stop::Moved { what: "index is stale".into() },
            Stop::Twin { twin },
            Stop::HolderLives { lives },
            Stop::Foreign { flag: Foreign::InUse { node: "ha1".parse().unwrap() } },
            Stop::OnlySaid { why: Box::new(OnlySaid::of_agent("c1")) },
            Stop::Store { doing: "write the journal", source: lost() },
            Stop::Tree { source: TreeError::Missing { key: "ha_cluster/x".into() } },
            Stop::Journal { incident: "c1@0".into(), why: format!("{:?} twice", Step::Fence) },
        ];
        for stop in &all {
            match stop {
                Stop::Waiting { .. } | Stop::Held { .. } | Stop::Withdrawn { .. } | Stop::Lease { .. } => {}
                Stop::Moved { .. } | Stop::Store { .. } | Stop::Tree { .. } | Stop::Journal { .. } => {}
                Stop::Twin { .. } | Stop::HolderLives { .. } | Stop::Foreign { .. } => {}
                Stop::OnlySaid { .. } => {}
            }
        }
        all
    }

    #[test]
    fn every_stop_that_a_person_must_know_names_the_next_command() {
        let id = "c1@0".parse().unwrap();
        for stop in all() {
            let row = stop.row(&id);
            assert!(!row.text.is_empty(), "{stop:?}");
            let goes_on = matches!(stop, Stop::Moved { .. } | Stop::Lease { .. });
            assert_eq!(row.severity == Severity::Fine, goes_on, "{stop:?}");
            assert_eq!(row.next.is_empty(), goes_on, "{stop:?}");
        }
    }
}
