//! `words/{id}/{hold,resume,retry}`: how people lead an incident. They stand where a check's token cannot write, and
//! `nova-ha-recover`, which alone writes below `incidents/`, turns each into an entry of the journal ([`turn`]) and removes
//! it in the same transaction.
//!
//! A *hold* stops a recovery as soon as it is written: every transaction of a recovery is refused while one is there. It
//! has no end of its own. *Resume* and *retry* lead to a shot, so that they count for a limited time.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::IncidentRecord;
use super::append::{CannotAppend, Writer, next};
use super::journal::Event;
use super::status::State;
use crate::keys::{self, IncidentKeys};
use crate::names::{HaNodeName, IncidentId};
use crate::store::{Entry, Op};
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::{Record, bytes, parse};
use crate::tree::{Snapshot, TreeError};

/// For how long a word to go on counts, if no HA node heeds it: as long as an order to fence.
pub const TTL: Duration = super::record::Order::TTL;

/// What a person says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "lead", rename_all = "snake_case", deny_unknown_fields)]
pub enum Lead {
    /// Nobody goes on with it.
    Hold {
        /// Why.
        reason: String,
    },
    /// It is led out of a hold.
    Resume {
        /// The HA node that held it, and is no more.
        gone: Option<HaNodeName>,
    },
    /// It closed, and is opened again.
    Retry {
        /// For these guests alone; all that are held where none is named.
        guests: Vec<String>,
    },
}

impl Lead {
    /// Its key.
    pub fn key(&self, keys: &IncidentKeys) -> String {
        match self {
            Lead::Hold { .. } => keys.hold(),
            Lead::Resume { .. } => keys.resume(),
            Lead::Retry { .. } => keys.retry(),
        }
    }
}

impl fmt::Display for Lead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lead::Hold { reason } => write!(f, "hold: {reason}"),
            Lead::Resume { gone: None } => f.write_str("resume"),
            Lead::Resume { gone: Some(node) } => write!(f, "resume, HA node {node} is gone"),
            Lead::Retry { guests } if guests.is_empty() => f.write_str("retry all held guests"),
            Lead::Retry { guests } => write!(f, "retry {}", guests.join(", ")),
        }
    }
}

/// The record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Word {
    /// Format version.
    pub version: u64,
    /// In which incident.
    pub incident: IncidentId,
    /// Who.
    pub by: String,
    /// Wall clock of where it was said.
    pub at: Timestamp,
    /// What.
    pub what: Lead,
}

impl Record for Word {
    const VERSION: u64 = Kind::Lead.newest();
}

impl Word {
    /// A word of now.
    pub fn new(incident: IncidentId, by: String, at: Timestamp, what: Lead) -> Self {
        Self { version: Self::VERSION, incident, by, at, what }
    }

    /// Reads one.
    ///
    /// # Errors
    /// It cannot be understood, or is another one's than its key says.
    pub fn parse(entry: &Entry) -> Result<Self, TreeError> {
        let word: Self = parse(&entry.key, &entry.value)?;
        if word.what.key(&keys::incident(&word.incident)) != entry.key {
            let why = format!("it is a word in {}, and another one than its key says", word.incident);
            return Err(TreeError::Malformed { key: entry.key.clone(), why });
        }
        Ok(word)
    }

    /// The operations that say it. Whoever says *hold* takes an unheeded *resume* back, and the other way round. That an HA
    /// node is gone can be said of an incident that is held alone: an unheeded hold is then heeded first.
    pub fn said(&self, tree: &Snapshot) -> Vec<Op> {
        let keys = keys::incident(&self.incident);
        let key = self.what.key(&keys);
        let mut ops = vec![Op::replace(key.clone(), bytes(self), tree.get(&key))];
        let opposite = match &self.what {
            Lead::Hold { .. } => Some(keys.resume()),
            Lead::Resume { gone: None } => Some(keys.hold()),
            Lead::Resume { gone: Some(_) } | Lead::Retry { .. } => None,
        };
        let unheeded = opposite.and_then(|key| tree.get(&key));
        ops.extend(unheeded.map(|entry| Op::DeleteCas(entry.key.clone(), entry.modify_index)));
        ops
    }

    /// Of a *hold*: why, and who said so.
    pub fn why_held(&self) -> Option<String> {
        match &self.what {
            Lead::Hold { reason } => Some(format!("{reason} (by {})", self.by)),
            Lead::Resume { .. } | Lead::Retry { .. } => None,
        }
    }

    /// What people said in an incident and no HA node has heeded, in the order in which it is heeded.
    pub fn unheeded<'a>(
        tree: &'a Snapshot,
        id: &IncidentId,
    ) -> impl Iterator<Item = Result<Self, TreeError>> + 'a {
        let keys = keys::incident(id);
        [keys.hold(), keys.resume(), keys.retry()]
            .into_iter()
            .filter_map(|key| tree.get(&key))
            .map(Self::parse)
    }
}

/// What becomes of a *hold* or a *resume*: the operations that turn it into the journal's next entry, or that remove it
/// because the incident is so already, or has ended. `tree` holds the incident's record, its lock and its term.
///
/// # Errors
/// What is stored cannot be understood.
pub fn turn(
    tree: &Snapshot,
    entry: &Entry,
    word: &Word,
    formats: &Formats,
    at: Timestamp,
) -> Result<Result<Vec<Op>, CannotAppend>, TreeError> {
    let keys = keys::incident(&word.incident);
    let gone = Op::DeleteCas(entry.key.clone(), entry.modify_index);
    let Some(record) = tree.record::<IncidentRecord>(&keys.incident())? else { return Ok(Ok(vec![gone])) };
    let lock = tree.get(&keys.lock());
    let is_locked = lock.is_some_and(|lock| lock.session.is_some());
    let event = match (&word.what, &record.status.state) {
        (Lead::Hold { .. }, State::Active) => {
            Event::Held { reason: word.why_held().unwrap_or_default(), cause: None }
        }
        (Lead::Resume { gone: None }, State::Held { .. }) => {
            Event::Resumed { by: word.by.clone(), gone: None }
        }
        // Not while a process of that HA node has it.
        (Lead::Resume { gone: Some(node) }, State::Held { .. })
            if !is_locked && record.holder.as_ref() == Some(node) =>
        {
            Event::Resumed { by: word.by.clone(), gone: Some(node.clone()) }
        }
        (Lead::Hold { .. } | Lead::Resume { .. } | Lead::Retry { .. }, _) => return Ok(Ok(vec![gone])),
    };
    let is_without_holder = matches!(&event, Event::Resumed { gone: Some(_), .. });
    let term = tree.number(&keys.term())?.unwrap_or(0);
    let writer = Writer { by: &word.by, machine: None, term, at, formats };
    let (mut next, journaled) = match next(&record, event, &writer) {
        Ok(next) => next,
        Err(why) => return Ok(Err(why)),
    };
    next.holder = next.holder.filter(|_| !is_without_holder);
    let mut ops = vec![
        gone,
        Op::replace(keys.incident(), bytes(&next), tree.get(&keys.incident())),
        Op::replace(keys.journal_entry(journaled.sequence), bytes(&journaled), None),
    ];
    ops.extend(is_without_holder.then(|| Op::unchanged(keys.lock(), lock)));
    Ok(Ok(ops))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::record::Origin;
    use crate::incident::status::Status;
    use crate::incident::step::Phase;
    use crate::store::SessionId;

    fn id() -> IncidentId {
        "c1@3".parse().unwrap()
    }

    fn entry(key: String, value: Vec<u8>) -> Entry {
        Entry { key, value, modify_index: 7, session: None }
    }

    fn record(state: State) -> Entry {
        let status = Status { phase: Phase::Claimed, state, ..Status::default() };
        let at = Timestamp::UNIX_EPOCH;
        let record = IncidentRecord {
            version: 1,
            id: id(),
            origin: Origin::Observers,
            order: None,
            opened_by: "ha1".into(),
            opened_at: at,
            changed_at: at,
            holder: Some("ha1".parse().unwrap()),
            head: 1,
            status,
        };
        entry(keys::incident(&id()).incident(), bytes(&record))
    }

    fn said(what: Lead) -> (Entry, Word) {
        let word = Word::new(id(), "ann".into(), Timestamp::UNIX_EPOCH, what);
        (entry(word.what.key(&keys::incident(&id())), bytes(&word)), word)
    }

    /// The record that follows; `None` where the word alone goes.
    fn turned(what: Lead, tree: Vec<Entry>) -> Option<IncidentRecord> {
        let mut snapshot = Snapshot::default();
        snapshot.extend(tree);
        let (entry, word) = said(what);
        let ops =
            turn(&snapshot, &entry, &word, &Formats::default(), Timestamp::UNIX_EPOCH).unwrap().unwrap();
        assert_eq!(ops[0], Op::DeleteCas(entry.key.clone(), 7), "the word goes with it");
        ops.iter().find_map(|op| match op {
            Op::Cas(key, value, 7) if *key == keys::incident(&id()).incident() => {
                Some(parse(key, value).unwrap())
            }
            _ => None,
        })
    }

    fn held() -> State {
        State::Held { reason: "wait".into() }
    }

    fn hold() -> Lead {
        Lead::Hold { reason: "look".into() }
    }

    #[test]
    fn a_word_becomes_the_entry_that_it_means_or_goes_where_it_means_nothing() {
        let next = turned(hold(), vec![record(State::Active)]).unwrap();
        assert_eq!(next.status.state, State::Held { reason: "look (by ann)".into() });
        let next = turned(Lead::Resume { gone: None }, vec![record(held())]).unwrap();
        assert_eq!((next.status.state, next.holder.is_some()), (State::Active, true));
        for (what, state) in [
            (hold(), held()),
            (hold(), State::Closed),
            (Lead::Resume { gone: None }, State::Active),
            (Lead::Resume { gone: None }, State::Abandoned),
        ] {
            assert_eq!(turned(what.clone(), vec![record(state.clone())]), None, "{what} {state:?}");
        }
        assert_eq!(turned(hold(), Vec::new()), None, "the incident is gone");
    }

    #[test]
    fn a_holder_is_taken_for_gone_only_while_no_process_of_it_has_the_lock() {
        let gone = || Lead::Resume { gone: Some("ha1".parse().unwrap()) };
        let lock = |session: Option<&str>| Entry {
            session: session.map(|id| SessionId(id.into())),
            ..entry(keys::incident(&id()).lock(), Vec::new())
        };
        assert_eq!(turned(gone(), vec![record(held()), lock(None)]).unwrap().holder, None);
        assert_eq!(turned(gone(), vec![record(held()), lock(Some("s"))]), None);
        let other = Lead::Resume { gone: Some("ha2".parse().unwrap()) };
        assert_eq!(turned(other, vec![record(held())]), None, "another one holds it");
    }

    #[test]
    fn what_is_not_heeded_yet_is_taken_back_by_its_opposite_unless_both_are_needed() {
        let mut tree = Snapshot::default();
        let ((hold_entry, hold_word), (resume_entry, resume_word)) =
            (said(hold()), said(Lead::Resume { gone: None }));
        tree.extend([hold_entry.clone(), resume_entry.clone()]);
        let deletes =
            |word: &Word| word.said(&tree).into_iter().filter(|op| matches!(op, Op::DeleteCas(..))).count();
        assert_eq!((deletes(&hold_word), deletes(&resume_word)), (1, 1));
        let (_, gone) = said(Lead::Resume { gone: Some("ha1".parse().unwrap()) });
        assert_eq!(deletes(&gone), 0);
        let unheeded: Vec<Word> = Word::unheeded(&tree, &id()).map(Result::unwrap).collect();
        assert_eq!(unheeded, [hold_word, resume_word]);
        assert!(
            Word::parse(&Entry { key: hold_entry.key, ..resume_entry }).is_err(),
            "another word than its key"
        );
    }
}
