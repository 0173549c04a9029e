//! Reads of an open incident what a person should know of it. Changes nothing, and prints what it can past bad data.

use jiff::Timestamp;

use super::guest::GuestEntry;
use super::journal::JournalEntry;
use super::lead::Word;
use super::note::WaitingNote;
use super::record::IncidentRecord;
use super::status::State;
use super::step::Phase;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::store::{Entry, Store};
use crate::tree::record::{Record, parse};
use crate::tree::{Snapshot, TreeError};

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Which.
    pub id: IncidentId,
    /// When it opened, by the opener's wall clock.
    pub opened_at: Timestamp,
    /// When its record was last written.
    pub written_at: Timestamp,
    /// When a guest's entry last changed.
    pub guest_at: Option<Timestamp>,
    /// Whether a guest is under way: nothing of it is written before it arrives, or its time is over.
    pub guests_under_way: bool,
    /// Whether anybody may work on it.
    pub state: State,
    /// Whether an HA node ever took it.
    pub is_claimed: bool,
    /// The HA node that has or had it.
    pub holder: Option<HaNodeName>,
    /// Whether a session holds its lock now.
    pub locked: bool,
    /// Why HA nodes wait. While it is locked only what its holder says: the others do not have it.
    pub notes: Vec<WaitingNote>,
    /// Keys that cannot be understood, and why.
    pub unreadable: Vec<String>,
}

impl Facts {
    /// Reads what is below the incident's folder.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store, record: &IncidentRecord) -> Result<Self, TreeError> {
        let keys = keys::incident(&record.id);
        let beside = [keys.lock(), keys.preflights(), keys.journal(), keys.guests(), keys.hold()];
        let tree = Snapshot::read(store, "what an incident waits for", &beside).await?;
        Ok(Self::of(record, &tree))
    }

    /// What of a tree that holds the incident's folder is worth knowing.
    pub fn of(record: &IncidentRecord, tree: &Snapshot) -> Self {
        let keys = keys::incident(&record.id);
        let locked = tree.get(&keys.lock()).is_some_and(|entry| entry.session.is_some());
        let mut unreadable = Vec::new();
        let notes: Vec<WaitingNote> = readable(tree.below(&keys.preflights()), &mut unreadable);
        readable::<JournalEntry>(tree.below(&keys.journal()), &mut unreadable);
        let guests: Vec<GuestEntry> = readable(tree.below(&keys.guests()), &mut unreadable);
        // Those that cannot be read are there too.
        let entries = tree.below(&keys.journal()).count();
        if u64::try_from(entries).unwrap_or(u64::MAX) < record.head {
            unreadable.push(format!("{}: {entries} of {} entries are there", keys.journal(), record.head));
        }
        let hold = tree.get(&keys.hold()).filter(|_| record.status.state == State::Active);
        let state = match hold.map(Word::parse) {
            None => record.status.state.clone(),
            Some(Ok(word)) => State::Held { reason: word.why_held().unwrap_or_default() },
            // Whatever it says, nobody writes the journal while it is there.
            Some(Err(error)) => {
                unreadable.push(error.to_string());
                State::Held { reason: "a person said so, in words that cannot be understood".into() }
            }
        };
        let is_of_holder = |note: &WaitingNote| Some(&note.node) == record.holder.as_ref();
        Self {
            id: record.id.clone(),
            opened_at: record.opened_at,
            written_at: record.changed_at.max(record.opened_at),
            guest_at: guests.iter().map(|guest| guest.at).max(),
            guests_under_way: guests.iter().any(|guest| !guest.state.is_final()),
            state,
            is_claimed: record.status.phase > Phase::Open,
            holder: record.holder.clone(),
            locked,
            notes: notes.into_iter().filter(|note| !locked || is_of_holder(note)).collect(),
            unreadable,
        }
    }

    /// When each HA node that waits tried it last: not for what a check prints, which has no times.
    pub fn tried(&self, now: Timestamp) -> Vec<String> {
        let one = |note: &WaitingNote| Some(format!("{}: {}", note.node, note.tried_text(now)?));
        self.notes.iter().filter_map(one).collect()
    }

    /// The last time that anybody wrote a word about it.
    pub fn last_word(&self) -> Timestamp {
        self.guest_at.map_or(self.written_at, |at| at.max(self.written_at))
    }
}

fn readable<'a, T: Record>(entries: impl Iterator<Item = &'a Entry>, unreadable: &mut Vec<String>) -> Vec<T> {
    let mut read = Vec::new();
    for entry in entries {
        match parse(&entry.key, &entry.value) {
            Ok(record) => read.push(record),
            Err(error) => unreadable.push(error.to_string()),
        }
    }
    read
}
