//! Looking at one guest, and what follows from it.

use std::time::Duration;

use super::effects;
use super::guest::{Guest, Needs};
use super::outlast::outlast;
use super::settle::{attach, is_posting_of_an_earlier_process, is_unattached, later, settle, silent};
use crate::clock::BootInstant;
use crate::incident::guest::{GuestEntry, GuestState, HeldFor};
use crate::nova::migrations::MigrationOutcome;
use crate::nova::{Migration, Server, TaskState};
use crate::recovery::context::Context;
use crate::recovery::evacuation::next::{
    Elapsed, Limits, Move, by_migration, by_server, may_be_heard, others_gave_up, relevant,
};
use crate::recovery::evacuation::treatment::{Beside, Treatment, treat};
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// A guest that Nova says it has reset so often and still shows as it was is a person's.
const MOST_RESETS: u32 = 3;

/// For how long this process, and those before it, have waited for something.
pub(super) fn elapsed(context: &Context<'_>, guest: &Guest) -> Elapsed {
    let entry = guest.entry();
    Elapsed {
        since_change: context.world.clock.boottime().saturating_duration_since(guest.changed_at),
        earlier_holder_may_act: entry.is_some_and(|entry| context.earlier.may_act(entry.term)),
        posting_of_an_earlier_process: is_posting_of_an_earlier_process(context, guest),
        answered: guest.answered,
        may_be_heard: false,
        others_gave_up: false,
    }
}

/// The limits of the policy.
pub(super) fn limits(context: &Context<'_>) -> Limits {
    Limits { settle: context.case.policy.post_settle, deadline: context.case.policy.evacuation_deadline }
}

pub(super) fn beside<'a>(
    context: &Context<'a>,
    live: &'a [Migration],
    entry: Option<&GuestEntry>,
) -> Beside<'a> {
    Beside {
        live_migrations: live,
        asked: entry.is_some_and(|entry| entry.attempts > 0),
        reset: &context.case.policy.reset_and_evacuate,
        surroundings: &context.plan.surroundings,
        only_opted_in: context.case.policy.recover_only_opted_in,
    }
}

/// What a guest that is to be asked for next needs; a final state where it is not to be.
pub(super) fn treated(
    context: &Context<'_>,
    guest: &Guest,
    server: &Server,
    live: &[Migration],
) -> Result<Needs, GuestState> {
    match treat(server, beside(context, live, guest.entry())) {
        Treatment::Evacuate => Ok(Needs::Post),
        Treatment::Reset { .. } if guest.resets >= MOST_RESETS => Err(GuestState::held(format!(
            "Nova took {MOST_RESETS} resets to ERROR and still shows it as {}",
            server.vm_state
        ))),
        Treatment::Reset { .. } => Ok(Needs::Reset),
        Treatment::Exclude { why } => Err(GuestState::Excluded { why }),
        Treatment::Refuse { why } => Err(GuestState::Refused { why }),
        // What was asked for before, if anything was, is known to have ended: it is asked for anew just now.
        Treatment::Hold { why } => Err(GuestState::Held { why, cause: Some(HeldFor::OwnState) }),
    }
}

/// What Nova showed before a look at one guest.
pub(super) struct Seen<'s> {
    /// Its evacuations.
    pub(super) own: &'s [Migration],
    /// Live migrations from or to the host.
    pub(super) live: &'s [Migration],
    /// Whether other guests are being evacuated, or may be, with the token with which it was asked for last.
    pub(super) token_in_use: bool,
}

/// Reads the guest itself and does what follows: a final state, a stop, or what it needs next.
pub(super) async fn look(context: &Context<'_>, guest: &mut Guest, seen: Seen<'_>) -> Result<(), Stop> {
    let Seen { own, live, token_in_use } = seen;
    let mut own = own.to_vec();
    if relevant(&own, guest.id.as_str(), guest.entry()).is_none() && guest.entry().is_some() {
        // That none is listed decides something now, so the list must be whole.
        match context.cloud.evacuations_from(&context.case.nova_host).await {
            Ok(all) => own = all.into_iter().filter(|m| m.server == guest.id).collect(),
            Err(error) => {
                silent(context, guest, "its migrations", &chain(&error));
                return Ok(());
            }
        }
    }
    let migration = relevant(&own, guest.id.as_str(), guest.entry());
    if by_migration(guest.entry(), migration, elapsed(context, guest), limits(context)) != Move::Look {
        // The whole list shows what the engine has not seen yet.
        return match migration {
            Some(m) if m.status.outcome() == MigrationOutcome::InFlight && is_unattached(guest) => {
                attach(context, guest, m).await
            }
            Some(_) | None => {
                later(context, guest);
                Ok(())
            }
        };
    }
    let asked_at = context.world.clock.boottime();
    let server = match context.cloud.server(&guest.id).await {
        Ok(server) => server,
        Err(error) if elapsed(context, guest).since_change > limits(context).deadline => {
            let why = format!(
                "Nova does not show it for longer than {:?}: {}",
                limits(context).deadline,
                chain(&error)
            );
            return settle(context, guest, &own, GuestState::held(why)).await;
        }
        Err(error) => {
            silent(context, guest, "the guest", &chain(&error));
            return Ok(());
        }
    };
    if server.is_some() {
        guest.known.clone_from(&server);
    }
    let token = match context.cloud.token().await {
        Ok(token) => token,
        Err(error) => {
            silent(context, guest, "what time it is", &chain(&error));
            return Ok(());
        }
    };
    let source = &context.case.nova_host;
    let mut elapsed = elapsed(context, guest);
    elapsed.may_be_heard =
        guest.entry().is_some_and(|entry| may_be_heard(entry, &token, elapsed.since_change));
    elapsed.others_gave_up = others_gave_up(&own, guest.id.as_str(), guest.entry());
    let next = by_server(guest.entry(), migration, server.as_ref(), source, elapsed, limits(context));
    if next != Move::Outlast {
        guest.outlasts = None;
    }
    match (next, server) {
        (Move::Outlast, _) => outlast(context, guest, &token, token_in_use).await,
        (Move::Done(state), _) => settle(context, guest, &own, state).await,
        (Move::Stop { at }, _) if guest.not_before <= asked_at => effects::stop(context, guest, at).await,
        // Nova writes this before it makes the migration: our own POST may be under way unseen.
        (Move::Post, Some(server))
            if guest.entry().is_some_and(|e| e.attempts > 0) && is_rebuilt(&server) =>
        {
            if elapsed.since_change <= limits(context).deadline {
                later(context, guest);
                return Ok(());
            }
            let why = "Nova is busy with it for too long and shows no evacuation".to_owned();
            // What we asked for last has given up, or was refused: what is rebuilt now its owner asked for.
            let is_its_owners = migration.is_some() || elapsed.answered;
            let cause = is_its_owners.then_some(HeldFor::OwnState);
            settle(context, guest, &own, GuestState::Held { why, cause }).await
        }
        (Move::Post, Some(server)) => match treated(context, guest, &server, live) {
            Ok(needs) => {
                guest.listed = Some((server, asked_at));
                guest.needs = Some(needs);
                Ok(())
            }
            Err(state) => settle(context, guest, &own, state).await,
        },
        (Move::Wait | Move::Look | Move::Stop { .. } | Move::Post, _) => {
            later(context, guest);
            Ok(())
        }
    }
}

fn is_rebuilt(server: &Server) -> bool {
    server.task_state.as_ref().is_some_and(TaskState::is_rebuild)
}

/// As long as this a listed guest may be decided on without reading it again.
pub(super) fn is_young(guest: &Guest, now: BootInstant, limit: Duration) -> bool {
    guest.listed.as_ref().is_some_and(|(_, at)| now.saturating_duration_since(*at) <= limit)
}
