//! Guests that an incident left held: when a retry of them ends.

use super::claim::{is_consumed, released};
use super::executor::Context;
use super::facts::Case;
use super::journal::{cut, moved, not_appended};
use super::note;
use super::queue::Pending;
use super::stop::Stop;
use super::world::World;
use crate::evidence::first_seen::counts;
use crate::incident::IncidentRecord;
use crate::incident::append::{Writer, next};
use crate::incident::journal::Event;
use crate::keys;
use crate::store::{Op, TxnOutcome};
use crate::tree::record::bytes;

/// Why a retry is over that came to this stop before it asked for anything. What only waits is waited for as long as the
/// person's order counts that it stands on: an incident that stays open for one guest keeps its host from being given back.
pub(super) fn ends(context: &Context<'_>, stop: &Stop, is_patience_over: bool) -> Option<String> {
    if !context.journal.status().may_end_retry() {
        return None;
    }
    let is_ordered = || is_ordered(context.world, context.journal.record());
    match stop {
        Stop::Held { reason, .. } | Stop::Withdrawn { reason } => Some(reason.clone()),
        Stop::Waiting { reasons, .. } => (is_patience_over && !is_ordered()).then(|| reasons.join("; ")),
        Stop::OnlySaid { why } => (is_patience_over && !is_ordered()).then(|| why.text()),
        Stop::Foreign { flag } => Some(flag.text()),
        // Another one goes on with it, or the next run does.
        Stop::HolderLives { .. }
        | Stop::Lease { .. }
        | Stop::Twin { .. }
        | Stop::Moved { .. }
        | Stop::Store { .. }
        | Stop::Tree { .. }
        | Stop::Journal { .. } => None,
    }
}

/// Whether it stands on a person's order that counts still.
fn is_ordered(world: &World, record: &IncidentRecord) -> bool {
    record.order.as_ref().is_some_and(|order| counts(&world.witness(), &record.id, order).is_ok())
}

/// Ends a retry that this HA node cannot even take, when the order that it stands on is over, and nobody has it. Says why, where it
/// ended.
///
/// # Errors
/// Consul does not answer, or what is there cannot be understood.
pub(super) async fn end_untaken(
    world: &World,
    case: &Case,
    pending: &Pending,
    why: &str,
) -> Result<Option<String>, Stop> {
    let record = &case.record;
    let is_ours = record.holder.as_ref().is_none_or(|holder| *holder == world.me);
    let may_end = record.status.may_end_retry() && pending.locked_by.is_none() && is_ours;
    if !may_end || is_ordered(world, record) {
        return Ok(None);
    }
    let tree = |source| Stop::Tree { source };
    let keys = keys::incident(&case.id);
    let term = case.tree.number(&keys.term()).map_err(tree)?.unwrap_or(0);
    let (me, at, formats) = (world.me.as_str(), world.clock.wall(), &case.formats);
    let writer = Writer { by: me, machine: Some(&world.machine), term, at, formats };
    let event = cut(Event::RetryEnded { reason: why.to_owned() });
    let (next, entry) = next(record, event, &writer).map_err(|why| not_appended(&case.id, why))?;
    let mut ops = vec![
        Op::unchanged(keys.lock(), case.tree.get(&keys.lock())),
        Op::replace(keys.incident(), bytes(&next), case.tree.get(&keys.incident())),
        Op::replace(keys.journal_entry(entry.sequence), bytes(&entry), None),
        note::removed(&case.id),
    ];
    let own = keys::ha_node(&world.me);
    let used_for = case.tree.text(&own.in_use_by()).map_err(tree)?;
    if used_for.as_deref() == Some(case.id.to_string().as_str()) && !is_consumed(case, record) {
        ops.extend(released(&own, &case.tree));
    }
    let outcome = world.store.transact(&ops).await;
    match outcome.map_err(|source| Stop::Store { doing: "end its retry", source })? {
        TxnOutcome::Committed(_) => Ok(Some(why.to_owned())),
        TxnOutcome::Refused(refusals) => Err(moved(&refusals)),
    }
}
