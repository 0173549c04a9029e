//! A person's word that this host's storage and guests are its own, for one boot: taken, heeded, and recorded when
//! Consul answers.
//!
//! It says whose they are, and not that they are there: nova-compute waits for its guests' filesystem all the same,
//! or it would build their disks anew beneath the mountpoint. Which one that is, is remembered for when Consul cannot
//! be asked.

use jiff::Timestamp;

use super::answer::Answer;
use super::disks_agree::{kept_by_disks, let_start};
use super::machine::Machine;
use super::owner::{Seen, What};
use crate::keys;
use crate::names::HostName;
use crate::store::{Op, Store, TxnOutcome};
use crate::tree::boot_guard::Override;
use crate::tree::record::{Record, bytes};
use crate::tree::runtime_config::RuntimeConfig;

/// Takes a person's word for this boot.
///
/// # Errors
/// The name typed is not this host's, or the word cannot be kept.
pub fn take(
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

/// A person's word for this boot, if there is one.
pub fn of_this_boot(machine: &Machine) -> Option<Override> {
    match machine.memory.overridden() {
        Ok(word) => word.filter(|word| word.boot_id == machine.boot_id),
        // A person's word that cannot be read is no word.
        Err(error) => {
            tracing::warn!(%error, "the last override cannot be read");
            None
        }
    }
}

/// What a person's word comes to. It is recorded where Consul answers, and the tree that answers is the one that this
/// host knows from now on. `None` for what Consul does not say: it cannot be asked.
pub async fn heeded(
    machine: &Machine,
    store: Option<&dyn Store>,
    word: Override,
    seen: Option<Seen>,
) -> Answer {
    if let Some(seen) = &seen {
        if let Err(error) = machine.memory.learn(&machine.host, &seen.generation) {
            tracing::warn!(%error, "the tree's generation cannot be remembered");
        }
        keep_needs(machine, &seen.published);
    }
    let is_known = seen.is_some();
    let published = match seen.map_or_else(|| machine.memory.needs(), |seen| Ok(seen.published)) {
        Ok(published) => published,
        Err(error) => {
            return Answer::CannotTell {
                why: format!("overridden by {}, and which filesystem its guests need: {error}", word.by),
                next: "look at it; without it nova-compute starts as soon as it is removed".into(),
            };
        }
    };
    if machine.what == What::Compute
        && let Some(kept) = kept_by_disks(machine, &published).await
    {
        return kept;
    }
    // Which arrays are the guests' only Consul says.
    let arrays = if is_known { published } else { RuntimeConfig::default() };
    for device in let_start(machine, &arrays).await {
        tracing::warn!(device, "an array of the guests ran before this was asked");
    }
    let recorded = word.recorded || record(machine, store, &word).await;
    Answer::Overridden { by: word.by, recorded }
}

/// Remembers what nova-compute needs, for a boot in which Consul cannot be asked.
pub fn keep_needs(machine: &Machine, published: &RuntimeConfig) {
    if let Err(error) = machine.memory.keep_needs(published) {
        tracing::warn!(%error, "what nova-compute needs cannot be remembered");
    }
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

/// An override, of whichever boot, that the tree never got is recorded if it can be. Who said it, once the tree has
/// it; `None` where there is none.
///
/// # Errors
/// The tree does not have it yet, or it cannot be read: by name of who said it, or why.
pub async fn catch_up(machine: &Machine, store: &dyn Store) -> Result<Option<String>, String> {
    let Some(word) = machine.memory.overridden().map_err(|error| error.to_string())? else { return Ok(None) };
    match word.recorded || record(machine, Some(store), &word).await {
        true => Ok(Some(word.by)),
        false => Err(format!("the override by {} is not in the tree yet", word.by)),
    }
}
