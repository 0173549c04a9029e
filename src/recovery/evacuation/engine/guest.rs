//! One guest in the hands of this process, and where guests come from.

use jiff::Timestamp;

use crate::clock::BootInstant;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::nova::{Migration, Server, ServerId};
use crate::recovery::context::Context;
use crate::recovery::evacuation::choice::{self, Surroundings, Urgency};
use crate::recovery::evacuation::ledger::{self, Line};
use crate::recovery::stop::Stop;

/// One guest.
pub(super) struct Guest {
    pub(super) id: ServerId,
    pub(super) line: Option<Line>,
    /// As it was last seen: what a new ledger entry is made from.
    pub(super) known: Option<Server>,
    /// As it was listed or read, and when: good for one decision while it is young.
    pub(super) listed: Option<(Server, BootInstant)>,
    pub(super) changed_at: BootInstant,
    /// Nothing is asked for again before this (Nova throttled, or could not be reached).
    pub(super) not_before: BootInstant,
    /// Its record is not read again before this.
    pub(super) look_after: BootInstant,
    /// Whether Nova answered clearly to what this process asked last.
    pub(super) answered: bool,
    /// Nova may hear what it was asked for until then, at the latest; `None` within if that is not known.
    pub(super) outlasts: Option<Option<Timestamp>>,
    /// What a process before this one wrote last was *posting*, whatever was written about its token since.
    pub(super) inherited: bool,
    /// How often this process had it reset.
    pub(super) resets: u32,
    /// What it needs next, as soon as it is its turn.
    pub(super) needs: Option<Needs>,
    /// Evacuations of it that this process asked for.
    pub(super) posted: usize,
}

/// What a guest needs as soon as it is its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Post,
    Reset,
}

impl Guest {
    pub(super) fn new(id: ServerId, line: Option<Line>, listed: Option<Server>, now: BootInstant) -> Self {
        let known = listed.clone();
        let listed = listed.map(|server| (server, now));
        Self {
            id,
            line,
            known,
            listed,
            changed_at: now,
            not_before: now,
            look_after: now,
            answered: false,
            outlasts: None,
            inherited: false,
            resets: 0,
            needs: None,
            posted: 0,
        }
    }

    pub(super) fn entry(&self) -> Option<&GuestEntry> {
        self.line.as_ref().map(|line| &line.entry)
    }

    pub(super) fn is_done(&self) -> bool {
        self.entry().is_some_and(|entry| entry.state.is_final())
    }

    /// How urgent it is as it was last seen.
    pub(super) fn urgency(&self, beside: &Surroundings) -> Urgency {
        let known = self.known.as_ref();
        known.map_or(Urgency::USUAL, |server| choice::urgency(server, &beside.aggregates).0)
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> &str {
        match (self.entry(), &self.known) {
            (Some(entry), _) => &entry.name,
            (None, Some(server)) => &server.name,
            (None, None) => self.id.as_str(),
        }
    }

    /// Its entry, or a new one, for which every evacuation that Nova shows now is history.
    pub(super) fn entry_or_new(
        &self,
        context: &Context<'_>,
        server: &Server,
        migrations: &[Migration],
    ) -> GuestEntry {
        match self.entry() {
            Some(entry) => entry.clone(),
            None => {
                let before = migrations.iter().map(|m| m.id).max().unwrap_or(0);
                GuestEntry { before, ..ledger::fresh(context, server, GuestState::Posting) }
            }
        }
    }

    /// Writes its entry.
    pub(super) async fn store(&mut self, context: &Context<'_>, entry: GuestEntry) -> Result<(), Stop> {
        let mut entry = ledger::as_all_read(context, entry);
        entry.term = context.journal.term();
        let index = ledger::write(context, &entry, self.line.as_ref().map(|line| line.index)).await?;
        self.line = Some(Line { entry, index, settled: false });
        self.listed = None;
        self.needs = None;
        self.changed_at = context.world.clock.boottime();
        self.look_after = self.changed_at;
        self.answered = false;
        self.outlasts = None;
        self.inherited = false;
        Ok(())
    }
}
