//! The two effects beside the evacuation itself: a reset before it, a stop after it. Each has its
//! ledger state, written before it and replaced after it.

use super::guest::Guest;
use super::off::Off;
use super::settle::{settle, silent};
use crate::incident::guest::{GuestState, Sent};
use crate::nova::{Migration, NovaError, NovaHost, RequestId};
use crate::recovery::context::Context;
use crate::recovery::evacuation::ask::ask_for;
use crate::recovery::evacuation::next::relevant;
use crate::recovery::evacuation::request::Choice;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// What Nova said to an effect.
enum Said {
    Yes(RequestId),
    /// It may have heard it; it is looked for.
    Unclear,
    /// It did not do it, and may later.
    NotNow,
    Gone,
    Refused(String),
}

fn said(context: &Context<'_>, what: &str, name: &str, answer: Result<RequestId, NovaError>) -> Said {
    match answer {
        Ok(id) => Said::Yes(id),
        Err(NovaError::NotFound { .. }) => Said::Gone,
        Err(
            error @ (NovaError::BadRequest { .. }
            | NovaError::Forbidden { .. }
            | NovaError::VersionRefused { .. }),
        ) => Said::Refused(chain(&error)),
        Err(error) => {
            tracing::warn!(incident = %context.case.id, guest = %name, error = %chain(&error), "Nova did not {what} it yet");
            if error.effect_may_have_happened() { Said::Unclear } else { Said::NotNow }
        }
    }
}

/// Has Nova show it as ERROR. Never while an evacuation of it may be under way: it would be aborted.
pub(super) async fn reset(
    context: &Context<'_>,
    guest: &mut Guest,
    own: &[Migration],
    off: &Off<'_, '_>,
) -> Result<(), Stop> {
    guest.needs = None;
    let Some((server, _)) = guest.listed.take() else { return Ok(()) };
    let mut entry = guest.entry_or_new(context, &server, own);
    if let Some(migration) = relevant(own, server.id.as_str(), None) {
        // Seen since the decision: somebody else is evacuating it.
        tracing::warn!(incident = %context.case.id, guest = %server.name, migration = migration.id, "not reset: an evacuation of it is under way");
        return Ok(());
    }
    // Reset, and then held for its disk, it would be worse off than before.
    if let Choice::Hold { why } = ask_for(context, &server).await {
        return settle(context, guest, own, GuestState::held(why)).await;
    }
    let token = match context.cloud.token().await {
        Ok(token) => token,
        Err(error) => {
            silent(context, guest, "a token", &chain(&error));
            return Ok(());
        }
    };
    entry.state = GuestState::Resetting;
    entry.sent = Some(Sent { token: token.id.to_string(), until: token.ends });
    guest.store(context, entry.clone()).await?;
    context.journal.may_act().await?;
    // Nova would show as failed what may still run, were the host not off.
    if !off.is_fresh() {
        guest.answered = true;
        return Ok(());
    }
    let now = context.world.clock.boottime();
    let pause = context.case.policy.evacuation_poll * 4;
    match said(context, "reset", &server.name, context.cloud.reset_to_error(&server.id, &token.id).await) {
        Said::Yes(id) => {
            tracing::info!(incident = %context.case.id, guest = %server.name, "reset to ERROR");
            guest.resets += 1;
            entry.requests.push(id.to_string());
            // Heard: nothing of it is on its way.
            entry.sent = Some(Sent { token: token.id.to_string(), until: token.now });
            guest.store(context, entry).await?;
            guest.answered = true;
        }
        // Nova may be busy with it still: the time to look for it begins now.
        Said::Unclear => {
            guest.resets += 1;
            context.cloud.set_aside(&token.id).await;
            guest.changed_at = context.world.clock.boottime();
        }
        Said::NotNow | Said::Gone => {
            guest.answered = true;
            guest.not_before = now.saturating_add(pause);
        }
        Said::Refused(why) => {
            entry.state = GuestState::Refused { why: format!("Nova does not reset it: {why}") };
            guest.store(context, entry).await?;
        }
    }
    Ok(())
}

/// Has it stopped where it arrived. What became of that is read from the guest itself.
pub(super) async fn stop(context: &Context<'_>, guest: &mut Guest, at: NovaHost) -> Result<(), Stop> {
    let Some(mut entry) = guest.entry().cloned() else { return Ok(()) };
    let stopping = GuestState::Stopping { to: at.to_string() };
    // Asked for again without a new entry: its deadline counts from the first time. A person may have
    // held the incident since.
    if entry.state == stopping {
        context.journal.confirm().await?;
    } else {
        entry.state = stopping;
        guest.store(context, entry.clone()).await?;
    }
    context.journal.may_act().await?;
    guest.not_before = context.world.clock.boottime().saturating_add(context.case.policy.post_settle);
    match said(context, "stop", &entry.name, context.cloud.stop(&guest.id).await) {
        Said::Yes(id) => {
            tracing::info!(incident = %context.case.id, guest = %entry.name, host = %at, "is being stopped, as it was before");
            entry.requests.push(id.to_string());
            let since = guest.changed_at;
            guest.store(context, entry).await?;
            guest.changed_at = since;
        }
        Said::Unclear | Said::NotNow | Said::Gone => {}
        Said::Refused(why) => {
            entry.state =
                GuestState::Failed { why: format!("it runs on {at} and Nova does not stop it: {why}") };
            guest.store(context, entry).await?;
        }
    }
    Ok(())
}
