//! What the guard answers.

use std::fmt;

use crate::names::IncidentId;

/// What one question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This host's own.
    Mine {
        /// Arrays of the guests that ran before this was asked: something else assembles them.
        unguarded: Vec<String>,
    },
    /// Not yet, but nova-compute may start: it is being given back after this incident.
    Returning(IncidentId),
    /// A person said so, for this boot.
    Overridden {
        /// Who.
        by: String,
        /// Whether the tree has it by now.
        recorded: bool,
    },
    /// Somebody else's, or it may be.
    NotMine {
        /// Why.
        why: String,
        /// The operator's next command.
        next: String,
    },
    /// This host's own, and what it needs is not there yet.
    NotReady {
        /// Why.
        why: String,
        /// The operator's next command.
        next: String,
    },
    /// No answer that counts.
    CannotTell {
        /// Why.
        why: String,
        /// The operator's next command.
        next: String,
    },
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Mine { unguarded } if unguarded.is_empty() => {
                f.write_str("its storage and guests are its own")
            }
            Answer::Mine { unguarded } => write!(
                f,
                "its storage and guests are its own, but {} ran before this was asked\n  next: \
                 keep mdadm from assembling it by itself: docs/boot-guard.md",
                unguarded.join(", ")
            ),
            Answer::Returning(id) => {
                write!(f, "nova-compute may start: the host is being given back after {id}")
            }
            Answer::Overridden { by, recorded: true } => write!(f, "overridden by {by} for this boot"),
            Answer::Overridden { by, recorded: false } => {
                write!(f, "overridden by {by} for this boot (not in the tree yet)")
            }
            Answer::NotMine { why, next } => {
                write!(f, "its storage and guests are not its own: {why}\n  next: {next}")
            }
            Answer::NotReady { why, next } => {
                write!(f, "its guests are its own, and their disks are not ready: {why}\n  next: {next}")
            }
            Answer::CannotTell { why, next } => {
                write!(f, "cannot tell whose its storage and guests are: {why}\n  next: {next}")
            }
        }
    }
}
