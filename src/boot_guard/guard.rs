//! One question: Consul first, and where it says *mine*, the disks.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

use super::ask::ask;
use super::disks::{self, Kept};
use super::memory::{Memory, MemoryError};
use super::owner::{Owner, Seen, What, owner};
use super::sight::Disks;
use super::word;
use crate::names::{HostName, IncidentId};
use crate::run_dir::{leave_storage_started, storage_started};
use crate::store::Store;
use crate::tree::TreeError;
use crate::tree::runtime_config::RuntimeConfig;

/// Who this machine is, in this boot.
pub struct Machine {
    /// Its name in the tree.
    pub host: HostName,
    /// What waits for the answer.
    pub what: What,
    /// Its boot.
    pub boot_id: String,
    /// What it remembers.
    pub memory: Memory,
    /// Its disks.
    pub disks: Disks,
    /// Until when disks that are not here may still come.
    pub disks_come_until: Instant,
    /// Where word is left that the storage was let start; none where somebody only asks.
    pub run_dir: Option<PathBuf>,
}

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

/// One question. `store` is why where Consul's settings cannot be used.
pub async fn look(machine: &Machine, store: Result<&dyn Store, &str>) -> Answer {
    let seen = match store {
        Ok(store) => ask(store, &machine.host).await.map_err(|error| said(&error)),
        Err(why) => Err((why.to_owned(), "correct Consul's settings of this unit".to_owned())),
    };
    if let Some(word) = word::of_this_boot(machine) {
        return word::heeded(machine, store.ok(), word, seen.ok()).await;
    }
    match seen {
        Ok(seen) => judged(machine, &seen).await,
        Err((why, next)) => Answer::CannotTell { why, next },
    }
}

async fn judged(machine: &Machine, seen: &Seen) -> Answer {
    let host = &machine.host;
    let unreadable = |error: MemoryError| Answer::CannotTell {
        why: format!("what this host remembers cannot be used: {error}"),
        next: format!("look at it; then nova-ha-boot-guard --override {host} --by NAME"),
    };
    let known = match machine.memory.known() {
        Ok(known) => known.filter(|known| known.host == *host),
        Err(error) => return unreadable(error),
    };
    match owner(host, machine.what, seen, known.as_ref().map(|known| known.generation.as_str())) {
        Owner::NotMine { why, next } => Answer::NotMine { why, next },
        Owner::Returning(id) => Answer::Returning(id),
        Owner::Mine => {
            word::keep_needs(machine, &seen.published);
            if let Some(answer) = kept_by_disks(machine, &seen.published).await {
                return answer;
            }
            // Remembered before it is said: the next boot must know this tree.
            match machine.memory.learn(host, &seen.generation) {
                Ok(()) => Answer::Mine { unguarded: let_start(machine, &seen.published).await },
                Err(error) => unreadable(error),
            }
        }
    }
}

/// Why the disks do not agree; `None`: they do.
pub(super) async fn kept_by_disks(machine: &Machine, published: &RuntimeConfig) -> Option<Answer> {
    let host = &machine.host;
    let kept = match machine.what {
        What::Storage => {
            let is_early = machine.run_dir.is_some() && Instant::now() < machine.disks_come_until;
            machine.disks.members(published).await.map(|arrays| disks::storage(host, &arrays, is_early))
        }
        What::Compute => {
            machine.disks.running().await.map(|(look, mounts)| disks::compute(published, &look, &mounts))
        }
    };
    match kept {
        Ok(None) => None,
        Ok(Some(Kept::Taken { why, next })) => Some(Answer::NotMine { why, next }),
        Ok(Some(Kept::NotReady { why, next })) => Some(Answer::NotReady { why, next }),
        Ok(Some(Kept::CannotTell { why, next })) => Some(Answer::CannotTell { why, next }),
        Err(why) => Some(Answer::CannotTell {
            why,
            next: format!(
                "lsblk; if nobody else has its disks: nova-ha-boot-guard --override {host} --by NAME"
            ),
        }),
    }
}

/// Leaves word that this boot's storage waited for this answer: `nova-ha-runtime-info` publishes it, and a
/// takeover demands it. Not where one of the guests' arrays runs already: that one did not wait.
pub(super) async fn let_start(machine: &Machine, published: &RuntimeConfig) -> Vec<String> {
    let (What::Storage, Some(run_dir)) = (machine.what, &machine.run_dir) else { return Vec::new() };
    if storage_started(run_dir, &machine.boot_id) {
        return Vec::new();
    }
    match machine.disks.running().await {
        Ok((look, _)) => {
            let unguarded = disks::running_already(published, &look);
            if !unguarded.is_empty() {
                return unguarded;
            }
            if let Err(error) = leave_storage_started(run_dir, &machine.boot_id) {
                tracing::warn!(
                    error = error.with_cause(),
                    "cannot leave word that the storage was let start"
                );
            }
        }
        Err(why) => tracing::warn!(why, "no word is left that the storage was let start"),
    }
    Vec::new()
}

fn said(error: &TreeError) -> (String, String) {
    let why = match error {
        TreeError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    (why, error.hint().unwrap_or_else(|| "nova-ha status, on an HA node".into()))
}
