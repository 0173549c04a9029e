//! Asking for one evacuation: *posting* is written, the POST is sent once, and what is known of it is
//! written.

use super::LISTING_COUNTS;
use super::guest::Guest;
use super::look::beside;
use super::off::Off;
use super::settle::{attach, is_posting_of_an_earlier_process, settle, silent};
use crate::incident::guest::{GuestState, Sent};
use crate::nova::migrations::MigrationOutcome;
use crate::nova::{Migration, NovaError};
use crate::recovery::context::Context;
use crate::recovery::evacuation::ask::ask_for;
use crate::recovery::evacuation::next::{MOST_ATTEMPTS, relevant};
use crate::recovery::evacuation::pace::Answer;
use crate::recovery::evacuation::request::Choice;
use crate::recovery::evacuation::treatment::{Treatment, treat};
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// Asks; what Nova's answer says of its load, if there was one. `own` are its evacuations that Nova
/// shows.
pub(super) async fn post(
    context: &Context<'_>,
    guest: &mut Guest,
    own: &[Migration],
    live: &[Migration],
    off: &Off<'_, '_>,
) -> Result<Option<Answer>, Stop> {
    guest.needs = None;
    let began = context.world.clock.boottime();
    let Some((server, _)) = guest.listed.take() else { return Ok(None) };
    let beside = beside(context, live, guest.entry());
    let Treatment::Evacuate = treat(&server, beside) else {
        return Ok(None);
    };
    let ask = match ask_for(context, &server).await {
        Choice::Ask(ask) => ask,
        Choice::Hold { why } => {
            settle(context, guest, own, GuestState::held(why)).await?;
            return Ok(None);
        }
    };
    // Asked for before: what came of that may have appeared since it was decided to ask again.
    let mut whole = Vec::new();
    let own = match guest.entry().is_some_and(|entry| entry.attempts > 0) {
        false => own,
        true => match context.cloud.evacuations_from(&context.case.nova_host).await {
            Ok(all) => {
                whole.extend(all.into_iter().filter(|m| m.server == server.id));
                whole.as_slice()
            }
            Err(error) => {
                silent(context, guest, "its migrations", &chain(&error));
                return Ok(None);
            }
        },
    };
    if let Some(migration) = relevant(own, server.id.as_str(), guest.entry()) {
        match migration.status.outcome() {
            MigrationOutcome::InFlight => {
                attach(context, guest, migration).await?;
                return Ok(None);
            }
            MigrationOutcome::Arrived | MigrationOutcome::CannotTell => return Ok(None),
            MigrationOutcome::GaveUp => {}
        }
    }
    // With this token and no other: the ledger says how long Nova takes it.
    let token = match context.cloud.token().await {
        Ok(token) => token,
        Err(error) => {
            silent(context, guest, "a token", &chain(&error));
            return Ok(None);
        }
    };
    let mut entry = guest.entry_or_new(context, &server, own);
    // Repeated for a process that died before Nova heard it, it is the same attempt.
    let same_attempt = entry.attempts > 0
        && is_posting_of_an_earlier_process(context, guest)
        && relevant(own, server.id.as_str(), Some(&entry)).is_none();
    // A migration that gave up belongs to the attempt before this one.
    entry.before = own.iter().map(|m| m.id).max().unwrap_or(entry.before).max(entry.before);
    entry.state = GuestState::Posting;
    entry.sent = Some(Sent { token: token.id.to_string(), until: token.ends });
    let not_sent = Some(Sent { token: token.id.to_string(), until: token.now });
    let attempt = u32::from(!same_attempt);
    entry.attempts += attempt;
    guest.store(context, entry.clone()).await?;
    context.journal.may_act().await?;
    let asked_at = context.world.clock.boottime();
    let later = asked_at.saturating_add(context.case.policy.evacuation_poll * 4);
    let kept_waiting = asked_at.saturating_duration_since(began) > LISTING_COUNTS;
    if kept_waiting || !off.is_fresh() || !ask.is_fresh(asked_at, context.case.policy.proof_max_age) {
        // Consul kept the entry waiting for longer than what was read counts: nothing is sent on it.
        entry.attempts -= attempt;
        entry.sent = not_sent;
        guest.store(context, entry).await?;
        guest.answered = true;
        return Ok(None);
    }
    guest.posted += 1;
    let answer = ask.send(context.cloud, &token.id).await;
    let now = context.world.clock.boottime();
    let took = now.saturating_duration_since(asked_at);
    let (state, load, again) = match answer {
        Ok(id) => {
            entry.requests.push(id.to_string());
            (GuestState::Accepted { request_id: Some(id.to_string()) }, Answer::Took(took), false)
        }
        Err(error) if error.effect_may_have_happened() => {
            tracing::warn!(incident = %context.case.id, guest = %server.name, error = %chain(&error), "Nova did not answer clearly; it is looked for before it is asked again");
            // Nova may be busy with it still: the time to look for it begins now.
            guest.changed_at = now;
            // Whoever is asked for from now on is so with another token, so that this one can be revoked.
            context.cloud.set_aside(&token.id).await;
            return Ok(Some(Answer::Struggles(None)));
        }
        // The guest, or its target, or a wrong way through a proxy: the guest itself is looked at.
        Err(NovaError::NotFound { .. }) => (GuestState::Posting, Answer::Took(took), true),
        // *Still in use* where somebody enabled the host again, *task state* where something is just
        // being done with the guest (an evacuation, too): refused for now, and then for good.
        Err(NovaError::BadRequest { .. } | NovaError::Conflict { .. }) if entry.attempts < MOST_ATTEMPTS => {
            (GuestState::Posting, Answer::Struggles(None), false)
        }
        Err(
            error @ (NovaError::BadRequest { .. }
            | NovaError::Conflict { .. }
            | NovaError::Forbidden { .. }
            | NovaError::VersionRefused { .. }),
        ) => (GuestState::Refused { why: chain(&error) }, Answer::Took(took), false),
        Err(error) => {
            tracing::warn!(incident = %context.case.id, guest = %server.name, error = %chain(&error), "Nova did not take the evacuation, trying again later");
            entry.attempts -= attempt;
            guest.posted -= 1;
            let when = match &error {
                NovaError::Throttled { retry_after, .. } => *retry_after,
                _ => None,
            };
            (GuestState::Posting, Answer::Struggles(when), true)
        }
    };
    tracing::info!(incident = %context.case.id, guest = %server.name, state = state.word(), why = state.why().unwrap_or(""), how = ask.why(), "evacuation asked for");
    if matches!(state, GuestState::Posting) {
        entry.sent = not_sent;
    }
    entry.state = state;
    guest.store(context, entry).await?;
    // Surely not done: there is nothing to look for before it is asked for again.
    guest.answered = again;
    if again {
        guest.not_before = later;
    }
    Ok(Some(load))
}
