//! Who is next: one look at all guests that no task has, by what is known already.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::guest::{Guest, Needs};
use super::look::{Seen, elapsed, is_young, limits, look, treated};
use super::reads::{migrations, on_the_host};
use super::settle::{attach, is_unattached, settle};
use super::{Engine, LISTING_COUNTS, MOST_LOOKS, Outcome, Task, effects, post};
use crate::clock::BootInstant;
use crate::incident::guest::GuestState;
use crate::nova::Migration;
use crate::nova::migrations::MigrationOutcome;
use crate::recovery::evacuation::next::{Move, by_migration, relevant};
use crate::recovery::evacuation::order::{Progress, Standing, order};

/// What a task does with a guest.
enum Hand {
    Look,
    Attach(Box<Migration>),
    Settle(GuestState),
    Ask(Needs),
}

/// What is to be done with one guest now.
enum Now {
    /// Nothing; it is accounted for, or somebody works for it.
    Nothing,
    Look,
    Attach(Box<Migration>),
    Settle(GuestState),
    /// It needs this, as soon as it is its turn.
    Turn(Needs),
    /// What is known of it is too old to decide on.
    Stale,
}

impl<'e, 'a> Engine<'e, '_, '_, 'a> {
    /// Guests whose evacuation is under way in Nova, or may be: since when.
    pub(super) fn moving(&self) -> Vec<BootInstant> {
        self.seats
            .iter()
            .filter_map(|seat| seat.guest.as_ref())
            .filter(|guest| self.is_moving(guest))
            .map(|guest| guest.changed_at)
            .collect()
    }

    /// How many slots are taken: also by guests that a task has just now.
    pub(super) fn under_way(&self) -> usize {
        self.moving().len() + self.seats.iter().filter(|seat| seat.guest.is_none() && seat.under_way).count()
    }

    fn is_moving(&self, guest: &Guest) -> bool {
        let migration = relevant(self.own(guest.id.as_str()), guest.id.as_str(), guest.entry());
        match (guest.entry().map(|entry| &entry.state), migration.map(|m| m.status.outcome())) {
            (Some(state), _) if state.is_final() => false,
            (_, Some(MigrationOutcome::InFlight)) => true,
            // What was looked for in vain and is to be asked for again takes no slot: if all slots were
            // taken so, nobody would ever be asked for.
            (Some(GuestState::Posting | GuestState::Accepted { .. }), None) => {
                !guest.answered && guest.needs.is_none() && guest.outlasts.is_none()
            }
            (_, _) => false,
        }
    }

    /// The tasks that can begin now.
    pub(super) fn round(&mut self) -> Vec<Task<'e, 'a>> {
        let now = self.context.world.clock.boottime();
        let mut tasks = Vec::new();
        let mut turns: Vec<Option<Needs>> = vec![None; self.seats.len()];
        let mut stale = false;
        let mut looks = MOST_LOOKS.saturating_sub(self.seats.iter().filter(|seat| seat.looked_at).count());
        for index in 0..self.seats.len() {
            let Some(guest) = self.seats.get(index).and_then(|seat| seat.guest.as_ref()) else { continue };
            if guest.is_done() {
                continue;
            }
            match self.now(guest, now) {
                Now::Nothing => {}
                Now::Stale => stale = true,
                Now::Turn(needs) => {
                    if let Some(turn) = turns.get_mut(index) {
                        *turn = Some(needs);
                    }
                    // Decided once a reading, not once a round.
                    if let Some(guest) = self.seats.get_mut(index).and_then(|seat| seat.guest.as_mut()) {
                        guest.needs = Some(needs);
                    }
                }
                Now::Look if looks == 0 => {}
                Now::Look => {
                    looks -= 1;
                    tasks.extend(self.hand(index, Hand::Look));
                }
                Now::Attach(migration) => tasks.extend(self.hand(index, Hand::Attach(migration))),
                Now::Settle(state) => tasks.extend(self.hand(index, Hand::Settle(state))),
            }
        }
        let wanted = turns.iter().any(Option::is_some);
        if stale && !self.listing {
            self.listing = true;
            tasks.push(self.list());
        }
        if wanted && !self.proving && self.off.is_ageing() {
            self.proving = true;
            let off = self.off;
            tasks.push(Box::pin(async move { off.read().await.map(Outcome::Off) }));
        }
        let outlasting = self.seats.iter().filter_map(|seat| seat.guest.as_ref());
        let outlasting = outlasting.filter_map(|guest| guest.outlasts.map(|until| (guest.name(), until)));
        if let Some(word) = self.outlasting.word(outlasting) {
            let context = self.context;
            tasks.push(Box::pin(async move {
                word.say(context).await;
                Ok(Outcome::Said)
            }));
        }
        if let Some(word) = self.struggle.word(now) {
            let context = self.context;
            tasks.push(Box::pin(async move {
                word.say(context).await;
                Ok(Outcome::Said)
            }));
        }
        if wanted && self.off.is_fresh() {
            for (index, needs) in self.next(&turns, now) {
                tasks.extend(self.hand(index, Hand::Ask(needs)));
            }
        }
        tasks
    }

    /// Its evacuations that Nova showed.
    fn own(&self, server: &str) -> &[Migration] {
        self.migrations.get(server).map_or(&[], Vec::as_slice)
    }

    /// The token that Nova works with for this guest, or may: revoked, it would fail what was accepted with it.
    fn token_of(&self, guest: &Guest) -> Option<String> {
        let entry = guest.entry()?;
        let token = entry.sent.as_ref()?.token.clone();
        let migration = relevant(self.own(guest.id.as_str()), guest.id.as_str(), Some(entry));
        let moves = migration.is_some_and(|m| m.status.outcome() == MigrationOutcome::InFlight);
        let elapsed = elapsed(self.context, guest);
        let may_move = match &entry.state {
            GuestState::Accepted { .. } => true,
            GuestState::Posting | GuestState::Resetting => {
                !guest.answered && elapsed.since_change <= limits(self.context).settle
            }
            GuestState::Stopping { .. }
            | GuestState::Recovered { .. }
            | GuestState::Excluded { .. }
            | GuestState::Refused { .. }
            | GuestState::Failed { .. }
            | GuestState::Held { .. } => false,
        };
        (moves || may_move).then_some(token)
    }

    /// Whether the token of what this guest was asked for last is another guest's too. One that is just being asked for
    /// may have any.
    fn token_in_use(&self, index: usize) -> bool {
        let sent = self.seats.get(index).and_then(|seat| seat.guest.as_ref()?.entry()?.sent.as_ref());
        let Some(sent) = sent else { return false };
        self.seats.iter().enumerate().filter(|(at, _)| *at != index).any(|(_, seat)| match &seat.guest {
            Some(guest) => self.token_of(guest).as_deref() == Some(sent.token.as_str()),
            None => seat.is_asked || seat.token.as_deref() == Some(sent.token.as_str()),
        })
    }

    /// Gives a guest to a task, which brings it back.
    fn hand(&mut self, index: usize, hand: Hand) -> Option<Task<'e, 'a>> {
        let (context, off, live) = (self.context, self.off, Arc::clone(&self.live));
        let moving = self.seats.get(index)?.guest.as_ref().is_some_and(|guest| self.is_moving(guest));
        let token_in_use = matches!(hand, Hand::Look) && self.token_in_use(index);
        let token = self.seats.get(index)?.guest.as_ref().and_then(|guest| self.token_of(guest));
        let seat = self.seats.get_mut(index)?;
        let mut guest = seat.guest.take()?;
        seat.token = token;
        seat.is_asked = matches!(hand, Hand::Ask(_));
        seat.looked_at = matches!(hand, Hand::Look);
        seat.under_way = moving || matches!(hand, Hand::Ask(_));
        let own = self.migrations.get(&seat.id).cloned().unwrap_or_default();
        Some(Box::pin(async move {
            let mut answer = None;
            match hand {
                Hand::Look => {
                    look(context, &mut guest, Seen { own: &own, live: &live, token_in_use }).await?
                }
                Hand::Attach(migration) => attach(context, &mut guest, &migration).await?,
                Hand::Settle(state) => settle(context, &mut guest, &own, state).await?,
                Hand::Ask(Needs::Reset) => effects::reset(context, &mut guest, &own, off).await?,
                Hand::Ask(Needs::Post) => answer = post::post(context, &mut guest, &own, &live, off).await?,
            }
            Ok(Outcome::Guest(index, Box::new(guest), answer))
        }))
    }

    /// The host's guests and all evacuations from it, anew and whole.
    fn list(&self) -> Task<'e, 'a> {
        let context = self.context;
        Box::pin(async move {
            let asked_at = context.world.clock.boottime();
            let servers = on_the_host(context).await?;
            let list = migrations(context).await?;
            Ok(Outcome::Listed(servers, list, asked_at))
        })
    }

    fn now(&self, guest: &Guest, now: BootInstant) -> Now {
        let context = self.context;
        let migration = relevant(self.own(guest.id.as_str()), guest.id.as_str(), guest.entry());
        match by_migration(guest.entry(), migration, elapsed(context, guest), limits(context)) {
            Move::Done(state) => Now::Settle(state),
            Move::Wait | Move::Post | Move::Outlast | Move::Stop { .. } => match migration {
                Some(migration) if is_unattached(guest) => Now::Attach(Box::new(migration.clone())),
                Some(_) | None => Now::Nothing,
            },
            // It is not to be asked for again yet; what became of it may be looked at all the same.
            Move::Look if guest.not_before > now && (guest.answered || guest.needs.is_some()) => Now::Nothing,
            // Nova shows nothing of it, or it was looked at for what it needs next: what was read is good
            // while it is young. Of one that was never asked for, the list must be so too.
            Move::Look if guest.entry().is_none() || guest.needs.is_some() => {
                let (asked_at, took) = self.listed;
                let counts = LISTING_COUNTS + took;
                let asked_before = guest.entry().is_some();
                let whole = asked_before || now.saturating_duration_since(asked_at) <= counts;
                match &guest.listed {
                    // Listed once, and not any more: deleted, or moved by somebody else.
                    Some((_, at)) if !asked_before && whole && *at < asked_at => Now::Look,
                    Some((server, _)) if whole && is_young(guest, now, counts) => match guest.needs {
                        Some(needs) => Now::Turn(needs),
                        None => match treated(context, guest, server, &self.live) {
                            Ok(needs) => Now::Turn(needs),
                            Err(state) => Now::Settle(state),
                        },
                    },
                    Some(_) | None if asked_before => Now::Look,
                    Some(_) | None => Now::Stale,
                }
            }
            Move::Look if guest.look_after <= now => Now::Look,
            Move::Look => Now::Nothing,
        }
    }

    /// Whose turn it is, within the limits.
    fn next(&self, turns: &[Option<Needs>], now: BootInstant) -> Vec<(usize, Needs)> {
        let room = self.pace.limit(now).saturating_sub(self.under_way());
        if room == 0 {
            return Vec::new();
        }
        let standings: Vec<Standing<'_>> = self
            .seats
            .iter()
            .zip(turns)
            .map(|(seat, turn)| {
                let guest = seat.guest.as_ref();
                let progress = match guest {
                    Some(guest) if guest.is_done() => Progress::Done,
                    Some(_) if turn.is_some() => Progress::Ready,
                    Some(guest) if !self.is_moving(guest) => Progress::Waits,
                    Some(_) | None => Progress::InFlight,
                };
                let since = guest.map(|g| now.saturating_duration_since(g.changed_at)).unwrap_or_default();
                Standing { server: &seat.id, urgency: &seat.urgency, progress, since }
            })
            .collect();
        let groups: Vec<BTreeSet<&str>> = self
            .context
            .plan
            .surroundings
            .groups
            .iter()
            .map(|group| group.members.iter().map(String::as_str).collect())
            .collect();
        order(&standings, &groups, self.context.case.policy.priority_patience)
            .into_iter()
            .filter_map(|index| turns.get(index).copied().flatten().map(|needs| (index, needs)))
            .take(room)
            .collect()
    }
}
