//! Asks Nova for every evacuation, in parallel within limits, and waits for each.
//!
//! The journal of a guest is its ledger entry: *posting* before the POST, *accepted* after it, a
//! final state at its end. What is done with one guest (a look, a POST, a ledger entry) is a task of
//! its own, at most one a guest, so that no guest waits for another's answer; one list of all
//! migrations says which guest has something to see, and the next one starts as soon as a slot is
//! free. `look` decides on a guest, `post` and `effects` ask for something, `round` decides
//! who is next.

mod effects;
mod gather;
mod guest;
mod look;
mod off;
mod outlast;
mod post;
mod reads;
mod round;
mod settle;
mod struggle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::FutureExt;
use futures_util::future::LocalBoxFuture;
use futures_util::stream::FuturesUnordered;

use self::guest::Guest;
use self::off::Off;
use self::outlast::Outlasting;
use self::reads::{MOST_TRIES, live_migrations, migrations, on_the_host};
use self::struggle::Struggle;
use super::choice::Urgency;
use super::pace::{Answer, Pace, poll_pause};
use crate::clock::BootInstant;
use crate::incident::guest::{GuestState, Summary};
use crate::nova::migrations::MigrationOutcome;
use crate::nova::{Migration, NovaError, Server};
use crate::recovery::context::Context;
use crate::recovery::note;
use crate::recovery::progress::{Event, Totals};
use crate::recovery::proof::KnownOff;
use crate::recovery::reports::wait::Ceased;
use crate::recovery::stop::Stop;
use crate::recovery::world::chain;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counts {
    /// Evacuations asked for by this run.
    pub posted: usize,
    /// Guests that need a person before the incident can end.
    pub holding: usize,
    /// Guests by outcome, one line.
    pub outcomes: String,
}

impl Counts {
    /// One line.
    pub fn text(&self) -> String {
        format!("{} ({} asked for by this run)", self.outcomes, self.posted)
    }
}

/// How long a listed server may be decided on without reading it again, beside what listing took.
const LISTING_COUNTS: Duration = Duration::from_secs(10);

/// Every so many lists of evacuations are whole.
const WHOLE_LIST: usize = 8;

/// Guests that are read at once: after a resume all of them may have to be.
const MOST_LOOKS: usize = 32;

/// With nothing under way in Nova, time is looked at this often: for what may be asked for again.
const IDLE: Duration = Duration::from_millis(100);

/// A guest, or its chair while a task has it.
struct Seat {
    id: String,
    guest: Option<Guest>,
    /// Whether the guest that a task has is one whose evacuation is under way, or is being asked for.
    under_way: bool,
    /// Whether the task that has the guest only looks at it.
    looked_at: bool,
    /// Whether the task that has the guest asks Nova for something.
    is_asked: bool,
    /// The token that Nova works with, or may, for the guest that a task has.
    token: Option<String>,
    /// How urgent it is, as it was last seen: also while a task has it.
    urgency: Urgency,
}

/// What a task brings back.
enum Outcome<'a> {
    /// A guest, and how Nova answered if it was asked for something.
    Guest(usize, Box<Guest>, Option<Answer>),
    /// A newer proof.
    Off(KnownOff<'a>),
    /// Something was said aloud.
    Said,
    /// The host's guests and all evacuations from it, as they were asked for then.
    Listed(Vec<Server>, Vec<Migration>, BootInstant),
}

type Task<'t, 'a> = LocalBoxFuture<'t, Result<Outcome<'a>, Stop>>;

/// All that a run knows.
struct Engine<'e, 'x, 'k, 'a> {
    context: &'e Context<'x>,
    off: &'e Off<'k, 'a>,
    seats: Vec<Seat>,
    /// Seats by server id.
    places: BTreeMap<String, usize>,
    /// Evacuations from the host by server id.
    migrations: BTreeMap<String, Vec<Migration>>,
    /// When the whole list was asked for last, and how long that took.
    listed: (BootInstant, Duration),
    live: Arc<Vec<Migration>>,
    pace: Pace,
    /// What an evacuation takes here.
    typical: Option<Duration>,
    /// Whether the host is being listed, and the power read, anew.
    listing: bool,
    proving: bool,
    silent: u32,
    polls: usize,
    said_at: Option<BootInstant>,
    struggle: Struggle,
    outlasting: Outlasting,
}

/// Until every guest has a final state. Two proofs are demanded: of the machine's power, and that nothing reports to Nova
/// under the name whose guests these are.
pub async fn run(context: &Context<'_>, off: &mut KnownOff<'_>, _: &Ceased) -> Result<Counts, Stop> {
    let began = context.world.clock.boottime();
    let guests = gather::gather(context).await?;
    let migrations = migrations(context).await?;
    let live = live_migrations(context, &guests.iter().collect::<Vec<_>>()).await?;
    let took = context.world.clock.boottime().saturating_duration_since(began);
    // Nova answered: whatever an earlier run waited for, this one works.
    note::over(context.world, &context.case.id).await;
    let off = Off::new(off);
    let mut engine = Engine {
        context,
        off: &off,
        seats: Vec::new(),
        places: BTreeMap::new(),
        migrations: by_server(migrations),
        listed: (began, took),
        live: Arc::new(live),
        pace: Pace::new(context.case.policy.evacuation_parallel),
        typical: None,
        listing: false,
        proving: false,
        silent: 0,
        polls: 0,
        said_at: None,
        struggle: Struggle::default(),
        outlasting: Outlasting::default(),
    };
    engine.seat(guests);
    loop {
        engine.work().await?;
        // Nova may have placed more here since: a build, an unshelving, a live migration.
        if !engine.more().await? {
            return Ok(engine.counts());
        }
    }
}

fn by_server(list: Vec<Migration>) -> BTreeMap<String, Vec<Migration>> {
    let mut found: BTreeMap<String, Vec<Migration>> = BTreeMap::new();
    for migration in list {
        found.entry(migration.server.to_string()).or_default().push(migration);
    }
    found
}

impl Seat {
    fn of(guest: Guest, urgency: Urgency) -> Self {
        Self {
            id: guest.id.to_string(),
            guest: Some(guest),
            under_way: false,
            looked_at: false,
            is_asked: false,
            token: None,
            urgency,
        }
    }

    fn is_done(&self) -> bool {
        self.guest.as_ref().is_some_and(Guest::is_done)
    }
}

impl<'e, 'a> Engine<'e, '_, '_, 'a> {
    /// Until all that are known have a final state. A task that fails ends it; the others are first
    /// heard out, so that no POST is cut off between Nova's answer and its ledger entry.
    async fn work(&mut self) -> Result<(), Stop> {
        let context = self.context;
        let mut tasks: FuturesUnordered<Task<'e, 'a>> = FuturesUnordered::new();
        let mut failed: Option<Stop> = None;
        let mut poll = self.poll();
        loop {
            if failed.is_none() {
                for task in self.round() {
                    tasks.push(task);
                }
                self.say(false);
            }
            if tasks.is_empty()
                && let Some(stop) = failed
            {
                return Err(stop);
            }
            // A seat whose guest a task has is not done: what may be left then only reads.
            if failed.is_none() && self.seats.iter().all(Seat::is_done) {
                self.say(true);
                return Ok(());
            }
            tokio::select! {
                biased;
                Some(outcome) = tasks.next(), if !tasks.is_empty() => {
                    let mut next = Some(outcome);
                    // All that came meanwhile, before the next round over all guests.
                    while let Some(outcome) = next {
                        match outcome {
                            Ok(outcome) => self.take(outcome),
                            Err(stop) => failed = failed.or(Some(stop)),
                        }
                        next = tasks.next().now_or_never().flatten();
                    }
                }
                seen = &mut poll, if failed.is_none() => {
                    if let Err(stop) = context.lease.in_time().map_err(Stop::from).and_then(|()| self.seen(seen)) {
                        failed = Some(stop);
                    }
                    poll = self.poll();
                }
            }
        }
    }

    /// Asks for all evacuations after a pause; only guests that move are polled for, by one list.
    fn poll(&mut self) -> LocalBoxFuture<'e, Option<Result<Vec<Migration>, NovaError>>> {
        let context = self.context;
        let most = context.case.policy.evacuation_poll;
        let now = context.world.clock.boottime();
        let moving = self.moving();
        let oldest = moving.iter().map(|at| now.saturating_duration_since(*at)).max();
        // Where nothing moves yet there is nothing to ask for; only time passes, and that is looked at again.
        let worth_asking = oldest.is_some() || self.silent > 0;
        let pause = match oldest {
            Some(oldest) if self.silent == 0 => poll_pause(self.typical, oldest, most),
            None if self.silent == 0 && !self.only_outlasts() => IDLE,
            Some(_) | None => most,
        };
        // What is under way is mostly what was asked for last; whatever hangs is seen in every eighth list.
        self.polls += usize::from(worth_asking);
        let newest = (!self.polls.is_multiple_of(WHOLE_LIST)).then(|| (self.under_way() * 3).max(50));
        Box::pin(async move {
            context.world.clock.sleep(pause).await;
            if !worth_asking {
                return None;
            }
            Some(context.cloud.evacuations_seen(&context.case.nova_host, newest).await)
        })
    }

    /// Whether nothing is left to do but to wait until Nova cannot hear any more what it was asked for.
    fn only_outlasts(&self) -> bool {
        let waits = |seat: &Seat| {
            seat.guest.as_ref().is_some_and(|guest| guest.is_done() || guest.outlasts.is_some())
        };
        self.seats.iter().all(waits)
    }

    /// What Nova's list shows now. Unknown is not failed: without an answer nothing is decided, and it
    /// is asked again.
    fn seen(&mut self, seen: Option<Result<Vec<Migration>, NovaError>>) -> Result<(), Stop> {
        match seen {
            None => Ok(()),
            Some(Ok(list)) => {
                self.silent = 0;
                let now = self.context.world.clock.boottime();
                for new in list {
                    self.time(&new, now);
                    self.learn(new);
                }
                Ok(())
            }
            Some(Err(error)) if error.is_retryable() && self.silent + 1 < MOST_TRIES => {
                self.silent += 1;
                tracing::warn!(incident = %self.context.case.id, error = %chain(&error), "Nova does not list its migrations, trying again");
                Ok(())
            }
            Some(Err(error)) => Err(Stop::waiting(
                format!("Nova does not list its migrations: {}", chain(&error)),
                "openstack server migration list",
            )),
        }
    }

    /// One that is missing in a list proves nothing; one that was seen does not go away.
    fn learn(&mut self, new: Migration) {
        let own = self.migrations.entry(new.server.to_string()).or_default();
        own.retain(|old| old.uuid != new.uuid);
        own.push(new);
    }

    /// Learns what an evacuation takes here, from those that arrive.
    fn time(&mut self, new: &Migration, now: BootInstant) {
        let moved =
            |old: &Migration| old.uuid == new.uuid && old.status.outcome() == MigrationOutcome::InFlight;
        let was_moving = self.migrations.get(new.server.as_str()).is_some_and(|own| own.iter().any(moved));
        if !was_moving || new.status.outcome() != MigrationOutcome::Arrived {
            return;
        }
        let guest = self.places.get(new.server.as_str()).and_then(|at| self.seats.get(*at)?.guest.as_ref());
        if let Some(guest) = guest {
            let took = now.saturating_duration_since(guest.changed_at);
            self.typical = Some(self.typical.map_or(took, |known| (known * 3 + took) / 4));
        }
    }

    fn take(&mut self, outcome: Outcome<'a>) {
        let now = self.context.world.clock.boottime();
        match outcome {
            Outcome::Guest(index, guest, answer) => {
                if let Some(answer) = answer {
                    self.pace.heard(answer, now);
                    self.struggle.heard(answer, now);
                }
                if let Some(entry) = guest.entry().filter(|entry| entry.state.is_final()) {
                    self.context.world.progress.say(&Event::guest(&self.context.case.id, entry));
                }
                if let Some(seat) = self.seats.get_mut(index) {
                    seat.urgency = guest.urgency(&self.context.plan.surroundings);
                    seat.guest = Some(*guest);
                    seat.under_way = false;
                    seat.looked_at = false;
                    seat.is_asked = false;
                }
            }
            Outcome::Said => {}
            Outcome::Off(newer) => {
                self.off.replace(newer);
                self.proving = false;
            }
            Outcome::Listed(servers, list, asked_at) => {
                self.listing = false;
                self.listed = (asked_at, now.saturating_duration_since(asked_at));
                // It may have been asked for before what a poll has shown since.
                for new in list {
                    self.learn(new);
                }
                for server in servers {
                    let place = self.places.get(server.id.as_str());
                    let seat = place.and_then(|at| self.seats.get_mut(*at));
                    let Some(seat) = seat else { continue };
                    if let Some(guest) = &mut seat.guest {
                        guest.known = Some(server.clone());
                        seat.urgency = guest.urgency(&self.context.plan.surroundings);
                        guest.needs = None;
                        guest.listed = Some((server, asked_at));
                    }
                }
            }
        }
    }

    /// Whether Nova has guests here that are nobody's yet; they are ours then.
    async fn more(&mut self) -> Result<bool, Stop> {
        let began = self.context.world.clock.boottime();
        let servers = on_the_host(self.context).await?;
        let known: Vec<_> = self.seats.iter().filter_map(|seat| seat.guest.as_ref().map(|g| &g.id)).collect();
        let new = gather::newcomers(&known, servers, began);
        if new.is_empty() {
            return Ok(false);
        }
        self.migrations = by_server(migrations(self.context).await?);
        let took = self.context.world.clock.boottime().saturating_duration_since(began);
        self.listed = (began, took);
        self.live = Arc::new(live_migrations(self.context, &new.iter().collect::<Vec<_>>()).await?);
        self.seat(new);
        Ok(true)
    }

    fn seat(&mut self, guests: Vec<Guest>) {
        for guest in guests {
            self.places.insert(guest.id.to_string(), self.seats.len());
            let urgency = guest.urgency(&self.context.plan.surroundings);
            self.seats.push(Seat::of(guest, urgency));
        }
    }

    fn states(&self) -> impl Iterator<Item = &GuestState> {
        self.seats.iter().filter_map(|seat| seat.guest.as_ref()?.entry().map(|entry| &entry.state))
    }

    fn counts(&self) -> Counts {
        let lines = self.seats.iter().filter_map(|seat| seat.guest.as_ref()?.line.as_ref());
        let holding = lines.filter(|line| line.holds_its_incident()).count();
        let posted = self.seats.iter().filter_map(|seat| seat.guest.as_ref().map(|g| g.posted)).sum();
        Counts { posted, holding, outcomes: Summary::of(self.states()).to_string() }
    }

    /// How far all of it is, every few seconds and at the end.
    fn say(&mut self, last: bool) {
        let now = self.context.world.clock.boottime();
        let due = self.said_at.is_none_or(|at| now.saturating_duration_since(at) >= Duration::from_secs(2));
        if !due && !last {
            return;
        }
        self.said_at = Some(now);
        let mut outcomes = BTreeMap::<&str, usize>::new();
        for state in self.states().filter(|state| state.is_final()) {
            *outcomes.entry(state.word()).or_default() += 1;
        }
        let totals = Totals {
            guests: self.seats.len(),
            done: self.seats.iter().filter(|seat| seat.is_done()).count(),
            under_way: self.under_way(),
            at_most: self.pace.limit(now),
            outcomes,
        };
        self.context.world.progress.say(&Event::totals(&self.context.case.id, totals));
    }
}
