//! What was said since the last look, written where only a recovery writes: what was opened becomes an incident, and a
//! person's word to hold one, to resume it or to open it again becomes an entry of its journal.
//!
//! Any HA node does it, whoever holds the incident: each is one transaction that compares what it was decided on. A word
//! that says *go on* and whose time is over here stays where it is; another HA node may still heed it.

use super::stop::Stop;
use super::world::{World, chain};
use crate::evidence::first_seen::word_counts;
use crate::incident::append::CannotAppend;
use crate::incident::lead::{Lead, Word, turn};
use crate::incident::opening::{TakeUp, take_up};
use crate::incident::retry::{Scene, Who};
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Entry, Op, StoreError, TxnOutcome};
use crate::tree::formats::Formats;
use crate::tree::incidents::opened;
use crate::tree::meta::Meta;
use crate::tree::{Snapshot, TreeError};

/// Heeds all of it. Says of which incidents something could not be heeded, and why: nobody works on what is not taken up.
///
/// # Errors
/// The tree cannot be read.
pub(super) async fn heed(world: &World) -> Result<Vec<(IncidentId, TreeError)>, Stop> {
    let tree = |source| Stop::Tree { source };
    let mut failed = Vec::new();
    for key in opened(world.store.as_ref()).await.map_err(tree)? {
        let Some(id) = keys::opened_of(&key) else { continue };
        if let Err(why) = begin(world, &id).await {
            failed.push((id, why));
        }
    }
    for (id, key) in said(world).await.map_err(tree)? {
        if let Err(error) = lead(world, &id, &key).await {
            tracing::warn!(incident = %id, key, error = %chain(&error), "what a person said cannot be heeded");
        }
    }
    Ok(failed)
}

/// One opening.
async fn begin(world: &World, id: &IncidentId) -> Result<(), TreeError> {
    let (incident, host) = (keys::incident(id), keys::host(id.host()));
    let wanted =
        [keys::META.to_owned(), incident.opened(), incident.incident(), host.general(), host.epoch()];
    let tree = Snapshot::read(world.store.as_ref(), "what was opened", &wanted).await?;
    Meta::of(&tree)?;
    let Some(opened) = tree.get(&incident.opened()) else { return Ok(()) };
    let (ops, begins) = match take_up(&tree, opened)? {
        TakeUp::Begin(ops) => (ops, true),
        TakeUp::Remove(ops) => (ops, false),
    };
    match world.store.transact(&ops).await.map_err(|source| written(&incident.opened(), source))? {
        TxnOutcome::Committed(_) if begins => tracing::info!(incident = %id, host = %id.host(), "taken up"),
        TxnOutcome::Committed(_) => {
            tracing::info!(incident = %id, "an opening was removed: it is an incident already, or of an epoch that is over");
        }
        // Another HA node took it up, or the host was reset or removed: the next look sees it.
        TxnOutcome::Refused(why) => tracing::info!(incident = %id, ?why, "not taken up"),
    }
    Ok(())
}

/// The keys of people's words that lead an incident.
async fn said(world: &World) -> Result<Vec<(IncidentId, String)>, TreeError> {
    let listed = match world.store.keys(keys::WORDS, false).await {
        Ok(listed) => listed,
        // A token of an older policy: people say such things where it may read.
        Err(StoreError::Denied { .. }) => Vec::new(),
        Err(source) => return Err(TreeError::Read { what: "what people say".into(), source }),
    };
    let leads = |key: String| {
        let id = keys::word_of(&key)?;
        let of = keys::incident(&id);
        [of.hold(), of.resume(), of.retry()].contains(&key).then_some((id, key))
    };
    Ok(listed.into_iter().filter_map(leads).collect())
}

/// One word.
async fn lead(world: &World, id: &IncidentId, key: &str) -> Result<(), TreeError> {
    let incident = keys::incident(id);
    let wanted =
        [keys::META.to_owned(), key.to_owned(), incident.incident(), incident.lock(), incident.term()];
    let tree = Snapshot::read(world.store.as_ref(), "what a person said", &wanted).await?;
    Meta::of(&tree)?;
    let Some(entry) = tree.get(key) else { return Ok(()) };
    let word = Word::parse(entry)?;
    if !matches!(word.what, Lead::Hold { .. })
        && let Err(why) = word_counts(&world.witness(), id, entry.modify_index, word.at)
    {
        tracing::warn!(incident = %id, by = word.by, why = %chain(&why), "a person's word does not count here");
        return Ok(());
    }
    let ops = match &word.what {
        Lead::Hold { .. } | Lead::Resume { .. } => {
            let formats = Formats::read(world.store.as_ref()).await?;
            match turn(&tree, entry, &word, &formats, world.clock.wall())? {
                Ok(ops) => ops,
                Err(CannotAppend::HeldBack(held)) => {
                    tracing::warn!(incident = %id, by = word.by, why = %held, next = held.hint(), "not heeded yet");
                    return Ok(());
                }
                Err(CannotAppend::Illegal(why)) => {
                    return Err(TreeError::Malformed { key: incident.incident(), why: why.to_string() });
                }
            }
        }
        Lead::Retry { guests } => retried(world, &word, entry, guests).await?,
    };
    match world.store.transact(&ops).await.map_err(|source| written(key, source))? {
        TxnOutcome::Committed(_) => {
            tracing::info!(incident = %id, by = word.by, what = ?word.what, "what a person said is heeded");
        }
        TxnOutcome::Refused(why) => tracing::info!(incident = %id, ?why, "not heeded, somebody else wrote"),
    }
    Ok(())
}

/// The operations that open an incident again. Where that may not be (any more), the word alone goes.
async fn retried(world: &World, word: &Word, entry: &Entry, guests: &[String]) -> Result<Vec<Op>, TreeError> {
    let gone = vec![Op::DeleteCas(entry.key.clone(), entry.modify_index)];
    let Some(scene) = Scene::read(world.store.as_ref(), &word.incident).await? else { return Ok(gone) };
    let who = Who::PersonsWord { by: &word.by, word: entry };
    Ok(match scene.transaction(who, guests, world.clock.wall())? {
        Ok(ops) => ops,
        Err(no) => {
            let (why, next) = (no.text(), no.next(&word.incident));
            tracing::warn!(incident = %word.incident, by = word.by, why, next, "not opened again");
            gone
        }
    })
}

fn written(key: &str, source: StoreError) -> TreeError {
    TreeError::Read { what: format!("whether {key} was taken"), source }
}
