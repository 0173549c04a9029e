//! What becomes of a guest after a look: settled, attached, or looked at again later.

use std::time::Duration;

use super::guest::Guest;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::nova::Migration;
use crate::recovery::context::Context;
use crate::recovery::evacuation::next::relevant;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// A guest that Nova is not finished with is read again after this, then after twice as long, ...
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A process before this one wrote *posting* and may have died before it posted.
pub(super) fn is_posting_of_an_earlier_process(context: &Context<'_>, guest: &Guest) -> bool {
    let posting = |entry: &GuestEntry| entry.state == GuestState::Posting;
    let of_earlier = |entry: &GuestEntry| guest.inherited || entry.term < context.journal.term();
    guest.entry().is_some_and(|entry| posting(entry) && of_earlier(entry))
}

pub(super) fn silent(context: &Context<'_>, guest: &mut Guest, what: &str, why: &str) {
    tracing::warn!(incident = %context.case.id, guest = %guest.name(), error = why, "Nova does not show {what}, trying again");
    later(context, guest);
}

/// The longer it is in coming, the rarer it is looked for.
pub(super) fn later(context: &Context<'_>, guest: &mut Guest) {
    let now = context.world.clock.boottime();
    let waited = now.saturating_duration_since(guest.changed_at) / 4;
    // What is under way for long is mostly just slow: Nova is asked for the guest itself ever rarer.
    let most = match waited * 4 > context.case.policy.post_settle {
        true => Duration::from_secs(30),
        false => context.case.policy.evacuation_poll.max(FIRST_LOOK_AGAIN),
    };
    let pause = waited.clamp(FIRST_LOOK_AGAIN, most);
    guest.look_after = now.saturating_add(pause);
}

/// Writes a final state.
pub(super) async fn settle(
    context: &Context<'_>,
    guest: &mut Guest,
    own: &[Migration],
    state: GuestState,
) -> Result<(), Stop> {
    let newest = relevant(own, guest.id.as_str(), guest.entry());
    let state = match (state, newest.and_then(|m| m.dest.as_ref())) {
        // A person wants to know first whether its target lives.
        (GuestState::Held { why, cause }, Some(dest)) => {
            let said = match context.cloud.service(dest).await {
                Ok(Some(service)) => format!("{dest} is {:?}", service.state).to_lowercase(),
                Ok(None) => format!("there is no nova-compute on {dest}"),
                Err(error) => format!("nothing of {dest}: {}", chain(&error)),
            };
            GuestState::Held { why: format!("{why}; Nova says {said}"), cause }
        }
        (state, _) => state,
    };
    let migration = newest.map(|m| m.id);
    let mut entry = match (guest.entry(), &guest.known) {
        (Some(entry), _) => entry.clone(),
        (None, Some(server)) => guest.entry_or_new(context, server, own),
        (None, None) => {
            return Err(Stop::Journal {
                incident: context.case.id.to_string(),
                why: format!("guest {} is neither in the ledger nor was it ever seen", guest.id),
            });
        }
    };
    tracing::info!(incident = %context.case.id, guest = %entry.name, state = state.word(), why = state.why().unwrap_or(""), "guest");
    entry.state = state;
    entry.migration = migration.or(entry.migration);
    guest.store(context, entry).await
}

/// Whether its entry does not say yet that an evacuation is under way. The number of one that Nova
/// accepted from us is written with the guest's end: an entry more would cost each guest a write.
pub(super) fn is_unattached(guest: &Guest) -> bool {
    let known =
        |entry: &GuestEntry| matches!(entry.state, GuestState::Accepted { .. } | GuestState::Stopping { .. });
    !guest.entry().is_some_and(known)
}

/// An evacuation that is under way and not ours yet: never a second POST for it.
pub(super) async fn attach(
    context: &Context<'_>,
    guest: &mut Guest,
    migration: &Migration,
) -> Result<(), Stop> {
    let mut entry = match (guest.entry().cloned(), &guest.known) {
        (Some(entry), _) => entry,
        (None, Some(server)) => {
            GuestEntry { before: migration.id - 1, ..guest.entry_or_new(context, server, &[]) }
        }
        (None, None) => return Ok(()),
    };
    let request_id = match &entry.state {
        GuestState::Accepted { request_id } => request_id.clone(),
        _ => None,
    };
    entry.state = GuestState::Accepted { request_id };
    entry.migration = Some(migration.id);
    // Its deadline counts from when it was asked for.
    let since = guest.changed_at;
    guest.store(context, entry).await?;
    guest.changed_at = since;
    Ok(())
}
