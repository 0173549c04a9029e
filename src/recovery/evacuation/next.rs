//! One guest's next move: pure, from its ledger entry, Nova's migrations and Nova's server.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::incident::guest::{GuestEntry, GuestState, HeldFor, Sent};
use crate::nova::migrations::MigrationOutcome;
use crate::nova::{Migration, NovaHost, Server, TaskState, Token, VmState};

/// What to do with one guest now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Ask Nova to evacuate it.
    Post,
    /// Wait: an evacuation is under way, or may be.
    Wait,
    /// Look at the server itself: its migration says that it arrived, or that nobody can tell.
    Look,
    /// Have it stopped where it is now: it must not be left running.
    Stop {
        /// Where that is.
        at: NovaHost,
    },
    /// Wait: Nova shows nothing of what it was asked for, and may hear it yet. Asked for again before that is over, it
    /// could be carried out twice.
    Outlast,
    /// Accounted for.
    Done(GuestState),
}

/// How often an evacuation that is known to have failed is asked for again.
pub const MOST_ATTEMPTS: u32 = 2;

/// The evacuation that counts for one guest: with an entry of ours the newest since before our
/// first POST; without one only what is under way, whoever asked for it. Anything older is history.
pub fn relevant<'a>(
    migrations: &'a [Migration],
    server: &str,
    entry: Option<&GuestEntry>,
) -> Option<&'a Migration> {
    migrations
        .iter()
        .filter(|m| m.server.as_str() == server)
        .filter(|m| match entry {
            Some(entry) => m.id > entry.before,
            None => m.status.outcome() == MigrationOutcome::InFlight,
        })
        .max_by_key(|m| m.id)
}

/// Whether each evacuation that counts beside the newest is known to have given up.
pub fn others_gave_up(migrations: &[Migration], server: &str, entry: Option<&GuestEntry>) -> bool {
    let newest = relevant(migrations, server, entry).map(|m| m.id);
    let counts = |m: &&Migration| m.server.as_str() == server && entry.is_none_or(|e| m.id > e.before);
    let others = migrations.iter().filter(counts).filter(|m| Some(m.id) != newest);
    others.map(|m| m.status.outcome()).all(|outcome| outcome == MigrationOutcome::GaveUp)
}

/// How long things have been going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed {
    /// Since the ledger entry last changed, or since this process took over, whichever is shorter.
    pub since_change: Duration,
    /// Whether a POST of an earlier holder may still be on its way: no new one until it is gone.
    pub earlier_holder_may_act: bool,
    /// Whether a process before this one wrote *posting*, and may have died before it posted.
    pub posting_of_an_earlier_process: bool,
    /// Whether this process has Nova's clear answer to what it asked last: there is nothing to wait for.
    pub answered: bool,
    /// Whether Nova would take what it was asked for last, were it to hear it only now.
    pub may_be_heard: bool,
    /// Whether each other evacuation of it, since our last POST, is known to have given up.
    pub others_gave_up: bool,
}

/// Between keystone's clock and those of Nova's API.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

/// Whether Nova would take what it was asked for last: for as long as it takes the token of that request. What an older
/// build asked for was asked with a token of which only its life is known.
pub fn may_be_heard(entry: &GuestEntry, token: &Token, since_change: Duration) -> bool {
    match &entry.sent {
        Some(sent) => token.now < over(sent),
        None => entry.attempts > 0 && since_change < token.life + CLOCKS_DIFFER,
    }
}

/// From when on, by keystone's clock, nothing that was sent with it is taken.
pub fn over(sent: &Sent) -> Timestamp {
    let differ = SignedDuration::try_from(CLOCKS_DIFFER).unwrap_or_default();
    sent.until.checked_add(differ).unwrap_or(Timestamp::MAX)
}

/// Limits of the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How long a POST without an answer is looked for before anything is done to repeat it.
    pub settle: Duration,
    /// How long an evacuation may take.
    pub deadline: Duration,
}

/// Decides by the migration list, which costs one request for all guests.
pub fn by_migration(
    entry: Option<&GuestEntry>,
    migration: Option<&Migration>,
    elapsed: Elapsed,
    limits: Limits,
) -> Move {
    if let Some(entry) = entry
        && entry.state.is_final()
    {
        return Move::Done(entry.state.clone());
    }
    match migration.map(|m| (m, m.status.outcome())) {
        Some((m, MigrationOutcome::InFlight)) if elapsed.since_change > limits.deadline => {
            Move::Done(GuestState::held(format!(
                "migration {} is {:?} for longer than {:?}; its target may be dead",
                m.id, m.status, limits.deadline
            )))
        }
        // Nova leaves the migration of a guest that was deleted meanwhile as it is, for ever.
        Some((_, MigrationOutcome::InFlight))
            if elapsed.since_change > limits.settle
                && entry.is_some_and(|entry| matches!(entry.state, GuestState::Accepted { .. })) =>
        {
            Move::Look
        }
        Some((_, MigrationOutcome::InFlight)) => Move::Wait,
        Some((_, MigrationOutcome::Arrived | MigrationOutcome::CannotTell)) => Move::Look,
        // What became of the guest itself is in its own record.
        Some((_, MigrationOutcome::GaveUp)) => Move::Look,
        None => match entry.map(|entry| &entry.state) {
            None => Move::Look,
            Some(GuestState::Posting) if elapsed.earlier_holder_may_act => Move::Done(GuestState::held(
                "an evacuation was being asked for by an HA node that is not proved off, and Nova shows none"
                    .into(),
            )),
            // A reset that arrives late would abort the evacuation that we ask for then.
            Some(GuestState::Resetting) if elapsed.earlier_holder_may_act => Move::Done(GuestState::held(
                "it was being reset to ERROR by an HA node that is not proved off".into(),
            )),
            Some(GuestState::Posting | GuestState::Resetting) if elapsed.answered => Move::Look,
            // Nova makes the migration while it answers the POST: after the settle time it never came.
            Some(GuestState::Posting | GuestState::Resetting) if elapsed.since_change > limits.settle => {
                Move::Look
            }
            Some(GuestState::Posting | GuestState::Resetting) => Move::Wait,
            // Accepted, and its migration is not in the list: never post again on a list's word.
            Some(_) if elapsed.since_change > limits.settle => Move::Look,
            Some(_) => Move::Wait,
        },
    }
}

/// Decides by the server itself, after [`by_migration`] asked for a look.
pub fn by_server(
    entry: Option<&GuestEntry>,
    migration: Option<&Migration>,
    server: Option<&Server>,
    source: &NovaHost,
    elapsed: Elapsed,
    limits: Limits,
) -> Move {
    let Some(server) = server else {
        return Move::Done(GuestState::Excluded { why: "deleted meanwhile".into() });
    };
    let outcome = migration.map(|m| m.status.outcome());
    let here = server.host.as_ref() == Some(source);
    match (&server.host, outcome) {
        (Some(host), _) if !here => {
            let expected = match migration.and_then(|m| m.dest.as_ref()) {
                Some(dest) => dest == host,
                None => true,
            };
            if !expected {
                return Move::Done(match brought_it(migration).filter(|_| elapsed.others_gave_up) {
                    // Moved on since, by its owner or an operator.
                    Some(dest) => GuestState::Recovered { to: dest.to_string() },
                    None => GuestState::held(format!("it is on {host}, its migration says another host")),
                });
            }
            arrived(entry, migration, server, host, elapsed, limits)
        }
        (None, _) => Move::Done(GuestState::Excluded { why: "it is on no host any more".into() }),
        // Still on the source.
        (Some(_), Some(MigrationOutcome::Arrived)) if elapsed.since_change > limits.settle => {
            Move::Done(GuestState::held("its migration is done, yet Nova has it on the dead host".into()))
        }
        (Some(_), Some(MigrationOutcome::Arrived | MigrationOutcome::InFlight)) => Move::Wait,
        (Some(_), Some(MigrationOutcome::CannotTell)) => {
            Move::Done(GuestState::held("nobody can tell what became of its migration".into()))
        }
        (Some(_), Some(MigrationOutcome::GaveUp)) | (Some(_), None) => {
            let accepted = matches!(entry.map(|e| &e.state), Some(GuestState::Accepted { .. }));
            if accepted && migration.is_none() {
                return Move::Done(GuestState::held(
                    "Nova accepted its evacuation and shows no migration".into(),
                ));
            }
            // A reset that Nova shows was heard; of anything else nothing is seen.
            let was_heard = migration.is_some()
                || (server.vm_state == VmState::Error
                    && entry.is_some_and(|e| e.state == GuestState::Resetting && e.vm_state != "error"));
            let was_asked =
                entry.is_some_and(|e| matches!(e.state, GuestState::Posting | GuestState::Resetting));
            if was_asked && !was_heard && !elapsed.answered && elapsed.may_be_heard {
                return Move::Outlast;
            }
            // What a process that is gone was about to ask for, and Nova never heard, was no attempt.
            let unheard = migration.is_none() && elapsed.posting_of_an_earlier_process;
            if !unheard && entry.is_some_and(|e| e.attempts >= MOST_ATTEMPTS) {
                let last = migration.map_or_else(
                    || "Nova shows no migration".to_owned(),
                    |m| format!("migration {} ended {}", m.id, m.status),
                );
                let why = format!("{MOST_ATTEMPTS} attempts without success, {last}");
                // Without a migration nobody knows what became of them.
                return Move::Done(match migration {
                    Some(_) => GuestState::Failed { why },
                    None => GuestState::held(why),
                });
            }
            Move::Post
        }
    }
}

/// Where an evacuation brought it that is over by Nova's record. Nova writes *done* last, after the guest's new host: whatever
/// is done with the guest from then on somebody else asked for, or it is our stop.
fn brought_it(migration: Option<&Migration>) -> Option<&NovaHost> {
    let done = migration.filter(|m| m.status.outcome() == MigrationOutcome::Arrived);
    done.and_then(|m| m.dest.as_ref())
}

/// Whether nothing that moves it was asked for that may still be under way: an evacuation of it has ended, or none was
/// asked for.
fn is_left_alone(entry: Option<&GuestEntry>, migration: Option<&Migration>) -> bool {
    match migration.map(|m| m.status.outcome()) {
        Some(MigrationOutcome::Arrived | MigrationOutcome::GaveUp) => true,
        Some(MigrationOutcome::InFlight | MigrationOutcome::CannotTell) => false,
        None => entry.is_none_or(|entry| entry.attempts == 0),
    }
}

/// On another host: recovered when Nova is finished with it.
fn arrived(
    entry: Option<&GuestEntry>,
    migration: Option<&Migration>,
    server: &Server,
    host: &NovaHost,
    elapsed: Elapsed,
    limits: Limits,
) -> Move {
    let in_flight = migration.is_some_and(|m| m.status.outcome() == MigrationOutcome::InFlight);
    let settled = server.task_state.is_none() && !in_flight;
    let must_stop = entry.is_some_and(GuestEntry::must_stop);
    let is_being_stopped = entry.is_some_and(|e| matches!(e.state, GuestState::Stopping { .. }));
    // Nova itself shuts down what it knew as SHUTOFF, and takes a stop for an answer.
    let novas_turn = is_being_stopped || entry.is_some_and(|e| e.vm_state == "stopped");
    let (is_patient, is_late) =
        (elapsed.since_change <= limits.settle, elapsed.since_change > limits.deadline);
    let recovered = || Move::Done(GuestState::Recovered { to: host.to_string() });
    match (&server.vm_state, settled) {
        (VmState::Active, true) if !must_stop => recovered(),
        (VmState::Stopped, true) => recovered(),
        (VmState::Error, true) => Move::Done(GuestState::Failed {
            why: format!(
                "on {host}, in ERROR{}",
                server.fault.as_ref().map_or_else(String::new, |f| format!(": {f}"))
            ),
        }),
        (VmState::SoftDeleted | VmState::Deleted, true) => {
            Move::Done(GuestState::Excluded { why: "deleted meanwhile".into() })
        }
        // Its owner may start it as often as we stop it: that is known, and nobody waits for it.
        (VmState::Active, true) if is_being_stopped && is_late => Move::Done(GuestState::Failed {
            why: format!("it runs on {host}, did not run before, and did not stay stopped"),
        }),
        (VmState::Active, true) if !novas_turn || !is_patient => Move::Stop { at: host.clone() },
        (state, _) if !is_patient && brought_it(migration).is_some() && is_its_owners(state, must_stop) => {
            recovered()
        }
        (state, _) if is_late => {
            let task = server.task_state.as_ref().map_or("no task", TaskState::word);
            Move::Done(GuestState::Held {
                why: format!("on {host}, {state} with {task} for too long"),
                cause: is_left_alone(entry, migration).then_some(HeldFor::OwnState),
            })
        }
        _ => Move::Wait,
    }
}

/// Of a guest whose evacuation is over: whether what it is now, or is becoming, is somebody's doing since. One that did not run
/// before must not be left running by us.
fn is_its_owners(state: &VmState, must_stop: bool) -> bool {
    match state {
        VmState::Active => !must_stop,
        VmState::Stopped
        | VmState::Paused
        | VmState::Suspended
        | VmState::Rescued
        | VmState::Resized
        | VmState::Shelved
        | VmState::ShelvedOffloaded
        | VmState::SoftDeleted
        | VmState::Deleted => true,
        VmState::Building | VmState::Error | VmState::Other(_) => false,
    }
}

#[cfg(test)]
mod tests;
