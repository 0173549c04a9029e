//! What a strategy says of a host's storage on this HA node.

/// What it says. Anything but a clear answer is *cannot tell*.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// All of it is usable here.
    Taken {
        /// For the journal.
        detail: String,
        /// Facts for the journal beside it: how its disks are kept from others.
        more: Option<String>,
    },
    /// None of it is here, or what a taking that was killed left and goes on from; it could be taken.
    Ready {
        /// For the journal.
        detail: String,
    },
    /// It cannot be taken now, and may be later by itself.
    Refused {
        /// Why.
        detail: String,
    },
    /// It is not what the host published, or somebody else's: a person must look.
    Contradicted {
        /// What was expected, and what is found.
        detail: String,
    },
    /// Whoever had it still writes to it, so the host lives, whatever its BMC says: a person must cut its power.
    HostLives {
        /// How it was seen.
        detail: String,
    },
    /// Nobody knows.
    CannotTell {
        /// Why.
        why: String,
    },
}

impl Answer {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            Answer::Taken { detail, .. } => format!("taken: {detail}"),
            Answer::Ready { detail } => format!("ready: {detail}"),
            Answer::Refused { detail } => format!("refused: {detail}"),
            Answer::Contradicted { detail } => format!("not as published: {detail}"),
            Answer::HostLives { detail } => {
                format!("its power reads off, and it writes to its disks: it lives: {detail}")
            }
            Answer::CannotTell { why } => format!("cannot tell: {why}"),
        }
    }
}
