//! The loop: ask, say what changed, wait, ask again.

use std::fmt;

use jiff::Timestamp;

use super::ask::ask;
use super::memory::{Memory, MemoryError};
use super::owner::{Owner, Seen, What, owner};
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::store::{Op, Store, TxnOutcome};
use crate::tree::TreeError;
use crate::tree::boot_guard::Override;
use crate::tree::record::{Record, bytes};

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
}

/// What one question came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// This host's own.
    Mine,
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
            Answer::Mine => f.write_str("its storage and guests are its own"),
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
    if let Some(word) = word_for_this_boot(machine) {
        return heeded(machine, store.ok(), word, seen.ok()).await;
    }
    match seen {
        Ok(seen) => judged(machine, &seen),
        Err((why, next)) => Answer::CannotTell { why, next },
    }
}

/// A person's word for this boot, if there is one: without asking Consul anything.
pub fn overridden(machine: &Machine) -> Option<Answer> {
    word_for_this_boot(machine).map(|word| Answer::Overridden { by: word.by, recorded: word.recorded })
}

fn word_for_this_boot(machine: &Machine) -> Option<Override> {
    match machine.memory.overridden() {
        Ok(word) => word.filter(|word| word.boot_id == machine.boot_id),
        // A person's word that cannot be read is no word.
        Err(error) => {
            tracing::warn!(%error, "the last override cannot be read");
            None
        }
    }
}

fn judged(machine: &Machine, seen: &Seen) -> Answer {
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
        // Remembered before it is said: the next boot must know this tree.
        Owner::Mine => match machine.memory.learn(host, &seen.generation) {
            Ok(()) => Answer::Mine,
            Err(error) => unreadable(error),
        },
    }
}

/// A person's word for this boot: recorded where Consul answers, and the tree that answers is the one
/// that this host knows from now on.
async fn heeded(machine: &Machine, store: Option<&dyn Store>, word: Override, seen: Option<Seen>) -> Answer {
    if let Some(seen) = seen
        && let Err(error) = machine.memory.learn(&machine.host, &seen.generation)
    {
        tracing::warn!(%error, "the tree's generation cannot be remembered");
    }
    let recorded = word.recorded || record(machine, store, &word).await;
    Answer::Overridden { by: word.by, recorded }
}

/// Writes an override that the tree does not have; whether it has it now.
async fn record(machine: &Machine, store: Option<&dyn Store>, word: &Override) -> bool {
    let Some(store) = store else { return false };
    let word = Override { recorded: true, ..word.clone() };
    let key = keys::host(&machine.host).boot_guard();
    match store.transact(&[Op::Set(key, bytes(&word))]).await {
        Ok(TxnOutcome::Committed(_)) => {
            if let Err(error) = machine.memory.say(&word) {
                tracing::warn!(%error, "recorded in the tree; it will be recorded once more");
            }
            true
        }
        Ok(TxnOutcome::Refused(refusals)) => {
            tracing::warn!(
                why = refusals.first().map_or("", |r| r.what.as_str()),
                "the override is not recorded yet"
            );
            false
        }
        Err(error) => {
            tracing::warn!(%error, "the override is not recorded yet");
            false
        }
    }
}

/// An override of an earlier boot that the tree never got is recorded when it can be.
pub async fn catch_up(machine: &Machine, store: &dyn Store) {
    if let Ok(Some(word)) = machine.memory.overridden()
        && !word.recorded
    {
        record(machine, Some(store), &word).await;
    }
}

/// Takes a person's word for this boot.
///
/// # Errors
/// The name typed is not this host's, or the word cannot be kept.
pub fn take_word(
    machine: &Machine,
    typed: &HostName,
    by: String,
    reason: Option<String>,
    at: Timestamp,
) -> Result<(), String> {
    if *typed != machine.host {
        return Err(format!("this host is {}, not {typed}; nothing was changed", machine.host));
    }
    let boot_id = machine.boot_id.clone();
    let word = Override { version: Override::VERSION, by, reason, at, boot_id, recorded: false };
    machine.memory.say(&word).map_err(|error| error.to_string())
}

fn said(error: &TreeError) -> (String, String) {
    let why = match error {
        TreeError::Read { source, .. } => source.to_string(),
        other => other.to_string(),
    };
    (why, error.hint().unwrap_or_else(|| "nova-ha status, on an HA node".into()))
}
