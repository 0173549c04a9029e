//! Asks Nova for every evacuation, in parallel within limits, and waits for each.
//!
//! The journal of a guest is its ledger entry: *posting* before the POST, *accepted* after it, a
//! final state at its end. One request a round lists all migrations; a guest's own server is read
//! only when its migration says that there is something to see.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;

use super::ledger::{self, Line};
use super::next::{Elapsed, Limits, MOST_ATTEMPTS, Move, by_migration, by_server, relevant};
use super::treatment::{Treatment, treat};
use crate::clock::BootInstant;
use crate::fence::off::Permission;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::nova::{Migration, NovaError, Server, ServerId};
use crate::recovery::executor::Context;
use crate::recovery::proof::KnownOff;
use crate::recovery::steps::verify::summary;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Evacuations asked for by this run.
    pub posted: usize,
    /// Guests that need a person.
    pub held: usize,
    /// Guests by outcome, one line.
    pub outcomes: String,
}

impl Counts {
    /// One line.
    pub fn text(&self) -> String {
        format!("{} ({} asked for by this run)", self.outcomes, self.posted)
    }
}

struct Guest {
    id: ServerId,
    line: Option<Line>,
    /// As it was last seen: what a new ledger entry is made from.
    known: Option<Server>,
    /// As it was listed or read, and when: good for one look while it is young.
    listed: Option<(Server, BootInstant)>,
    changed_at: BootInstant,
    /// A POST is not tried again before this (Nova throttled, or could not be reached).
    not_before: BootInstant,
}

/// How long a listed server may be decided on without reading it again.
const LISTING_COUNTS: Duration = Duration::from_secs(10);

/// How often Nova is asked for its migrations before its silence is said aloud.
const MOST_TRIES: u32 = 10;

impl Guest {
    fn new(id: ServerId, line: Option<Line>, listed: Option<Server>, now: BootInstant) -> Self {
        let known = listed.clone();
        let listed = listed.map(|server| (server, now));
        Self { id, line, known, listed, changed_at: now, not_before: now }
    }

    fn entry(&self) -> Option<&GuestEntry> {
        self.line.as_ref().map(|line| &line.entry)
    }

    fn is_done(&self) -> bool {
        self.entry().is_some_and(|entry| entry.state.is_final())
    }
}

/// Until every guest has a final state.
pub async fn run(context: &Context<'_>, off: &mut KnownOff<'_>) -> Result<Counts, Stop> {
    let limits =
        Limits { settle: context.case.policy.post_settle, deadline: context.case.policy.evacuation_deadline };
    let mut guests = gather(context).await?;
    let mut posted = 0;
    loop {
        let migrations = migrations(context).await?;
        let mut to_post: Vec<(usize, Server)> = Vec::new();
        let mut in_flight = 0;
        for (index, guest) in guests.iter_mut().enumerate() {
            if guest.is_done() {
                continue;
            }
            let migration = relevant(&migrations, guest.id.as_str(), guest.entry());
            match decide(context, guest, migration, limits).await? {
                (Move::Done(state), server) => {
                    settle(context, guest, server.as_ref(), migration, state).await?
                }
                (Move::Wait | Move::Look, _) => {
                    in_flight += 1;
                    attach(context, guest, migration).await?;
                }
                (Move::Post, Some(server)) => to_post.push((index, server)),
                (Move::Post, None) => {}
            }
        }
        let room = context.case.policy.evacuation_parallel.saturating_sub(in_flight);
        let now = context.world.clock.boottime();
        to_post.retain(|(index, _)| guests.get(*index).is_some_and(|guest| guest.not_before <= now));
        let batch = to_post.get(..room.min(to_post.len())).unwrap_or_default();
        if !batch.is_empty() {
            // One reading of the power for a batch; each POST sees that it is still young.
            off.fresh().await?;
            posted += post_all(context, &mut guests, batch, &migrations, off).await?;
        }
        if guests.iter().all(Guest::is_done) && !newcomers(context, &mut guests).await? {
            let states = || guests.iter().filter_map(|g| g.entry().map(|e| &e.state));
            let held = states().filter(|state| matches!(state, GuestState::Held { .. })).count();
            return Ok(Counts { posted, held, outcomes: summary(states()) });
        }
        context.lease.check()?;
        context.world.clock.sleep(context.case.policy.evacuation_poll).await;
    }
}

async fn on_the_host(context: &Context<'_>) -> Result<Vec<Server>, Stop> {
    let host = &context.case.nova_host;
    context.cloud.servers_on(host).await.map_err(|error| {
        Stop::waiting(
            format!("Nova does not list the guests of {host}: {}", chain(&error)),
            "openstack server list --all --host",
        )
    })
}

/// Guests that Nova placed on the host after it was listed first (a build, an unshelving or a live
/// migration that was under way): they are nobody's but ours.
async fn newcomers(context: &Context<'_>, guests: &mut Vec<Guest>) -> Result<bool, Stop> {
    let now = context.world.clock.boottime();
    let servers = on_the_host(context).await?;
    let new: Vec<Server> =
        servers.into_iter().filter(|server| guests.iter().all(|guest| guest.id != server.id)).collect();
    let any = !new.is_empty();
    guests.extend(new.into_iter().map(|server| Guest::new(server.id.clone(), None, Some(server), now)));
    Ok(any)
}

/// Guests that Nova has on the host, and those of the ledger.
async fn gather(context: &Context<'_>) -> Result<Vec<Guest>, Stop> {
    let mut lines = ledger::read(context).await?;
    let servers = on_the_host(context).await?;
    let resumed = context.earlier.resumed;
    let now = context.world.clock.boottime();
    let mut guests: BTreeMap<ServerId, Guest> = BTreeMap::new();
    for server in servers {
        let line = lines.remove(server.id.as_str()).map(|line| reconsidered(line, resumed));
        let id = server.id.clone();
        guests.insert(id.clone(), Guest::new(id, line, Some(server), now));
    }
    for (id, line) in lines {
        let id: ServerId = id.parse().map_err(|_| Stop::Journal {
            incident: context.case.id.to_string(),
            why: format!("the ledger has a guest {id:?}, which is no server id"),
        })?;
        guests.insert(id.clone(), Guest::new(id, Some(reconsidered(line, resumed)), None, now));
    }
    Ok(guests.into_values().collect())
}

/// A person led the incident out of a hold: what was held until then is looked at again, as an
/// evacuation that may be under way. What was held since (by a process that died before it could
/// hold the incident) waits for a person, and everything else that is final stays so.
fn reconsidered(mut line: Line, resumed: Option<u64>) -> Line {
    if matches!(line.entry.state, GuestState::Held { .. }) && Some(line.entry.term) <= resumed {
        line.entry.state = GuestState::Posting;
    }
    line
}

async fn migrations(context: &Context<'_>) -> Result<Vec<Migration>, Stop> {
    // Unknown is not failed: without an answer nothing is decided, and it is asked again.
    let mut tries = 0;
    loop {
        tries += 1;
        match context.cloud.evacuations_from(&context.case.nova_host).await {
            Ok(migrations) => return Ok(migrations),
            Err(error) if error.is_retryable() && tries < MOST_TRIES => {
                tracing::warn!(incident = %context.case.id, error = %chain(&error), "Nova does not list its migrations, trying again");
                context.lease.check()?;
                context.world.clock.sleep(context.case.policy.evacuation_poll).await;
            }
            Err(error) => {
                return Err(Stop::waiting(
                    format!("Nova does not list its migrations: {}", chain(&error)),
                    "openstack server migration list",
                ));
            }
        }
    }
}

/// The next move of one guest; reads its server only where the migrations do not settle it.
async fn decide(
    context: &Context<'_>,
    guest: &mut Guest,
    migration: Option<&Migration>,
    limits: Limits,
) -> Result<(Move, Option<Server>), Stop> {
    let elapsed = Elapsed {
        since_change: context.world.clock.boottime().saturating_duration_since(guest.changed_at),
        earlier_holder_may_act: guest
            .entry()
            .is_some_and(|entry| context.earlier.may_act.contains(&entry.term)),
        posting_of_an_earlier_process: guest
            .entry()
            .is_some_and(|entry| is_posting_of_an_earlier_process(context, entry)),
    };
    let first = by_migration(guest.entry(), migration, elapsed, limits);
    if first != Move::Look {
        return Ok((first, None));
    }
    let now = context.world.clock.boottime();
    let young = guest.listed.take().filter(|(_, at)| now.saturating_duration_since(*at) <= LISTING_COUNTS);
    let server = match young {
        Some((server, at)) => {
            // Kept for the next round, in which its turn may come.
            guest.listed = Some((server.clone(), at));
            Some(server)
        }
        None => match context.cloud.server(&guest.id).await {
            Ok(server) => server,
            Err(error) if elapsed.since_change > limits.deadline => {
                let why =
                    format!("Nova does not show it for longer than {:?}: {}", limits.deadline, chain(&error));
                return Ok((Move::Done(GuestState::Held { why }), None));
            }
            Err(error) => {
                tracing::warn!(incident = %context.case.id, guest = %guest.id, error = %chain(&error), "Nova does not show the guest, trying again");
                return Ok((Move::Wait, None));
            }
        },
    };
    if server.is_some() {
        guest.known.clone_from(&server);
    }
    let next = by_server(guest.entry(), migration, server.as_ref(), &context.case.nova_host, elapsed, limits);
    if next != Move::Post {
        return Ok((next, server));
    }
    let Some(server) = server else { return Ok((Move::Wait, None)) };
    Ok(match treat(&server, &context.plan.target) {
        Treatment::Evacuate { .. } => (Move::Post, Some(server)),
        Treatment::Exclude { why } => (Move::Done(GuestState::Excluded { why }), Some(server)),
        Treatment::Refuse { why } => (Move::Done(GuestState::Refused { why }), Some(server)),
    })
}

/// Writes a final state.
async fn settle(
    context: &Context<'_>,
    guest: &mut Guest,
    server: Option<&Server>,
    migration: Option<&Migration>,
    state: GuestState,
) -> Result<(), Stop> {
    let seen = server.or(guest.known.as_ref());
    let Some(mut entry) =
        guest.entry().cloned().or_else(|| seen.map(|s| ledger::fresh(context, s, state.clone())))
    else {
        return Err(Stop::Journal {
            incident: context.case.id.to_string(),
            why: format!("guest {} is neither in the ledger nor was it ever seen", guest.id),
        });
    };
    tracing::info!(incident = %context.case.id, guest = %entry.name, state = state.word(), why = state.why().unwrap_or(""), "guest");
    entry.state = state;
    entry.migration = migration.map(|m| m.id).or(entry.migration);
    store(context, guest, entry).await
}

/// An evacuation that is under way and not ours yet: never a second POST for it.
async fn attach(context: &Context<'_>, guest: &mut Guest, migration: Option<&Migration>) -> Result<(), Stop> {
    let Some(migration) = migration else { return Ok(()) };
    if guest
        .entry()
        .is_some_and(|e| e.migration == Some(migration.id) && matches!(e.state, GuestState::Accepted { .. }))
    {
        return Ok(());
    }
    let mut entry = match (guest.entry().cloned(), &guest.known) {
        (Some(entry), _) => entry,
        (None, Some(server)) => {
            GuestEntry { before: migration.id - 1, ..ledger::fresh(context, server, GuestState::Posting) }
        }
        (None, None) => return Ok(()),
    };
    let request_id = match &entry.state {
        GuestState::Accepted { request_id } => request_id.clone(),
        _ => None,
    };
    entry.state = GuestState::Accepted { request_id };
    entry.migration = Some(migration.id);
    store(context, guest, entry).await
}

async fn store(context: &Context<'_>, guest: &mut Guest, entry: GuestEntry) -> Result<(), Stop> {
    let index = ledger::write(context, &entry, guest.line.as_ref().map(|line| line.index)).await?;
    guest.line = Some(Line { entry, index });
    guest.listed = None;
    guest.changed_at = context.world.clock.boottime();
    Ok(())
}

/// A process before this one wrote *posting* and may have died before it posted.
fn is_posting_of_an_earlier_process(context: &Context<'_>, entry: &GuestEntry) -> bool {
    entry.state == GuestState::Posting && entry.term < context.journal.term()
}

/// What became of one POST.
struct Posted {
    index: usize,
    line: Line,
    retry_later: bool,
    sent: bool,
}

async fn post_all(
    context: &Context<'_>,
    guests: &mut [Guest],
    batch: &[(usize, Server)],
    migrations: &[Migration],
    off: &KnownOff<'_>,
) -> Result<usize, Stop> {
    let tries = batch.iter().filter_map(|(index, server)| {
        let guest = guests.get(*index)?;
        Some(post(context, *index, server, guest.line.as_ref(), migrations, off))
    });
    let results = join_all(tries).await;
    let now = context.world.clock.boottime();
    let mut sent = 0;
    for result in results {
        let posted = result?;
        sent += usize::from(posted.sent);
        if let Some(guest) = guests.get_mut(posted.index) {
            guest.line = Some(posted.line);
            guest.listed = None;
            guest.changed_at = now;
            if posted.retry_later {
                guest.not_before = now.saturating_add(context.case.policy.evacuation_poll * 4);
            }
        }
    }
    Ok(sent)
}

/// *Posting* is written, the POST is sent once, and what is known of it is written.
async fn post(
    context: &Context<'_>,
    index: usize,
    server: &Server,
    line: Option<&Line>,
    migrations: &[Migration],
    off: &KnownOff<'_>,
) -> Result<Posted, Stop> {
    let Treatment::Evacuate { request, .. } = treat(server, &context.plan.target) else {
        return Err(Stop::held(format!("guest {} was to be evacuated and is not any more", server.name)));
    };
    let mut entry = match line {
        Some(line) => line.entry.clone(),
        None => {
            let before = migrations.iter().filter(|m| m.server == server.id).map(|m| m.id).max().unwrap_or(0);
            GuestEntry { before, ..ledger::fresh(context, server, GuestState::Posting) }
        }
    };
    // Repeated for a process that died before Nova heard it, it is the same attempt.
    let same_attempt = entry.attempts > 0
        && is_posting_of_an_earlier_process(context, &entry)
        && relevant(migrations, server.id.as_str(), Some(&entry)).is_none();
    // A migration that gave up belongs to the attempt before this one.
    entry.before = migrations
        .iter()
        .filter(|m| m.server == server.id)
        .map(|m| m.id)
        .max()
        .unwrap_or(entry.before)
        .max(entry.before);
    entry.state = GuestState::Posting;
    entry.attempts += u32::from(!same_attempt);
    let posting = ledger::write(context, &entry, line.map(|line| line.index)).await?;
    context.lease.check()?;
    if !off.is_fresh() {
        // Consul kept the entry waiting for longer than the proof counts: nothing is sent on it.
        entry.attempts -= 1;
        let after = ledger::write(context, &entry, Some(posting)).await?;
        let line = Line { entry, index: after };
        return Ok(Posted { index, line, retry_later: true, sent: false });
    }
    let (state, retry_later) = match context.cloud.evacuate(&server.id, &request).await {
        Ok(id) => (GuestState::Accepted { request_id: Some(id.to_string()) }, false),
        Err(error) if error.effect_may_have_happened() => {
            tracing::warn!(incident = %context.case.id, guest = %server.name, error = %chain(&error), "Nova did not answer clearly; it is looked for before it is asked again");
            return Ok(Posted {
                index,
                line: Line { entry, index: posting },
                retry_later: false,
                sent: true,
            });
        }
        Err(NovaError::NotFound { .. }) => (GuestState::Excluded { why: "deleted meanwhile".into() }, false),
        // *Still in use* where somebody enabled the host again, *task state* where something is just
        // being done with the guest (an evacuation, too): refused for now, and then for good.
        Err(NovaError::BadRequest { .. } | NovaError::Conflict { .. }) if entry.attempts < MOST_ATTEMPTS => {
            (GuestState::Posting, true)
        }
        Err(
            error @ (NovaError::BadRequest { .. }
            | NovaError::Conflict { .. }
            | NovaError::Forbidden { .. }
            | NovaError::VersionRefused { .. }),
        ) => (GuestState::Refused { why: chain(&error) }, false),
        Err(error) => {
            tracing::warn!(incident = %context.case.id, guest = %server.name, error = %chain(&error), "Nova did not take the evacuation, trying again later");
            entry.attempts -= 1;
            (GuestState::Posting, true)
        }
    };
    tracing::info!(incident = %context.case.id, guest = %server.name, state = state.word(), why = state.why().unwrap_or(""), "evacuation asked for");
    entry.state = state;
    let index_after = ledger::write(context, &entry, Some(posting)).await?;
    Ok(Posted { index, line: Line { entry, index: index_after }, retry_later, sent: true })
}
