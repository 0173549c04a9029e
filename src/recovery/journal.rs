//! Writing the journal: each entry in a transaction that also checks that our session still holds
//! the lock, that the term is ours and that the incident is as we last saw it.

use std::cell::Cell;
use std::time::Duration;

use super::lease::Lease;
use super::stop::Stop;
use super::world::World;
use crate::clock::{BootInstant, Clock};
use crate::incident::append::{CannotAppend, Writer, next};
use crate::incident::journal::{Event, JournalEntry, MAX_MEMBERS, bounded};
use crate::incident::record::Order;
use crate::incident::{IncidentRecord, Status};
use crate::keys::{self, IncidentKeys};
use crate::machine_id::MachineId;
use crate::names::{HaNodeName, IncidentId};
use crate::store::{Entry, Op, Refusal, Store, StoreError, TxnOutcome};
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::{bytes, parse};

/// The incident as we last saw it, and the right to write it.
pub struct Journal<'a> {
    store: &'a dyn Store,
    clock: &'a dyn Clock,
    lease: &'a Lease<'a>,
    me: HaNodeName,
    machine: MachineId,
    term: u64,
    formats: Formats,
    record: IncidentRecord,
    index: u64,
    /// When the last transaction was sent by which Consul said that the incident is ours and as we last saw it.
    ours_at: Cell<BootInstant>,
}

/// A journal as the transaction that claimed or adopted it left it.
pub struct AsTaken {
    /// The term under which we write.
    pub term: u64,
    /// What the configured HA nodes read.
    pub formats: Formats,
    /// The incident.
    pub record: IncidentRecord,
    /// Consul's index of its key.
    pub index: u64,
    /// When the transaction was sent that took it.
    pub asked: BootInstant,
}

/// Pause between two tries of a write that Consul did not take; an election takes 2 to 4 s.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// For so long after a write the incident counts as ours where the effect follows that the write announces.
const OURS_COUNTS: Duration = Duration::from_secs(1);

impl<'a> Journal<'a> {
    /// Continues a journal that was just claimed or adopted.
    pub fn continued(world: &'a World, lease: &'a Lease<'a>, taken: AsTaken) -> Self {
        let AsTaken { term, formats, record, index, asked } = taken;
        let (store, clock) = (world.store.as_ref(), world.clock.as_ref());
        let (me, machine) = (world.me.clone(), world.machine.clone());
        let ours_at = Cell::new(asked);
        Self { store, clock, lease, me, machine, term, formats, record, index, ours_at }
    }

    /// Where the incident stands.
    pub fn status(&self) -> &Status {
        &self.record.status
    }

    /// The incident.
    pub fn record(&self) -> &IncidentRecord {
        &self.record
    }

    /// The term under which we write.
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The incident's keys.
    pub fn keys(&self) -> IncidentKeys {
        keys::incident(&self.record.id)
    }

    /// One try to write more under the checks that belong into every transaction of ours: the lock is ours, and nobody (a
    /// person who holds the incident, an adopter) wrote it since.
    ///
    /// # Errors
    /// Consul does not answer; it may have been written.
    pub async fn with_guards(&self, more: &[Op]) -> Result<TxnOutcome, StoreError> {
        let mut ops = vec![self.guard(), Op::CheckIndex(self.keys().incident(), self.index)];
        ops.extend(self.not_held());
        ops.extend_from_slice(more);
        self.once(&ops).await
    }

    /// One try of a transaction that has the guards; taken, it says that the incident is ours.
    async fn once(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
        let asked = self.clock.boottime();
        let outcome = self.store.transact(ops).await?;
        if matches!(outcome, TxnOutcome::Committed(_)) {
            self.ours_at.set(asked);
        }
        Ok(outcome)
    }

    /// Whether the effect that was just written may be begun: Consul is asked, unless its answer to the write is not older
    /// than a second. An HA node that stood still does not know by its own clock: that of a virtual machine which was
    /// paused stood too, and another HA node may have recovered the host meanwhile. Where anything but memory is looked
    /// at between write and effect, [`Journal::confirm`] asks in any case.
    ///
    /// # Errors
    /// Somebody else wrote the incident, the lock is gone, or Consul does not say so within the lease.
    pub async fn may_act(&self) -> Result<(), Stop> {
        if self.clock.boottime().saturating_duration_since(self.ours_at.get()) >= OURS_COUNTS {
            self.confirm().await?;
        }
        Ok(self.lease.in_time()?)
    }

    /// That no person said *hold*.
    fn not_held(&self) -> Option<Op> {
        not_held(&self.formats, &self.me, &self.record.id)
    }

    fn guard(&self) -> Op {
        Op::CheckSession(self.keys().lock(), self.lease.session().clone())
    }

    /// That this is so now, by a round trip to Consul: asked right before each effect that does not follow its own write
    /// at once, and by a recovery that waits (it writes nothing, and would not notice otherwise that a person led the
    /// incident on, or took it away).
    pub async fn confirm(&self) -> Result<(), Stop> {
        loop {
            self.lease.in_time()?;
            match self.with_guards(&[]).await {
                // The process may have been stopped since it asked.
                Ok(TxnOutcome::Committed(_)) => return Ok(self.lease.in_time()?),
                Ok(TxnOutcome::Refused(refusals)) => return Err(moved(&refusals)),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, incident = %self.record.id, "Consul does not show the incident, trying again");
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                Err(source) => return Err(Stop::Store { doing: "see whether it may go on", source }),
            }
        }
    }

    /// From the next entry on nobody holds the incident: whoever leads it out of a hold need not
    /// wait for this HA node.
    pub fn let_go(&mut self) {
        self.record.holder = None;
    }

    /// With the next entry a person's order is used: it was good when that was written. While an older HA node
    /// is configured that does not know it, it is left out: the order then counts for its time only.
    pub fn use_order(&mut self, order: &Order) {
        if self.formats.allows(Kind::Incident, 2).is_ok() {
            let is_it = |known: &Order| known.by == order.by && known.at == order.at;
            let known = self.record.order.take().filter(is_it);
            self.record.order = Some(Order { used: true, ..known.unwrap_or_else(|| order.clone()) });
        }
    }

    /// From the next entry on this HA node holds it. Says which did.
    pub fn hand_over(&mut self, to: Option<HaNodeName>) -> Option<HaNodeName> {
        std::mem::replace(&mut self.record.holder, to)
    }

    /// Appends an event, with more operations in the same transaction.
    pub async fn append(&mut self, event: Event, more: Vec<Op>) -> Result<(), Stop> {
        let writer = Writer {
            by: self.me.as_str(),
            machine: Some(&self.machine),
            term: self.term,
            at: self.clock.wall(),
            formats: &self.formats,
        };
        let (record, entry) =
            next(&self.record, cut(event), &writer).map_err(|why| not_appended(&self.record.id, why))?;
        let keys = self.keys();
        let mut ops = vec![
            self.guard(),
            Op::Cas(keys.incident(), bytes(&record), self.index),
            Op::Cas(keys.journal_entry(entry.sequence), bytes(&entry), 0),
        ];
        ops.extend(self.not_held());
        ops.extend(more);
        let index = self.commit(&ops, &entry).await?;
        tracing::info!(incident = %record.id, host = %record.id.host(), sequence = entry.sequence, what = ?entry.what, "journal");
        self.record = record;
        self.index = index;
        Ok(())
    }

    /// Tries until Consul takes it or refuses it, for as long as the lease allows. A try without an
    /// answer may have been taken: the next one is then refused by its own success, which is told
    /// apart by reading our entry back.
    async fn commit(&self, ops: &[Op], entry: &JournalEntry) -> Result<u64, Stop> {
        let key = self.keys().incident();
        let mut unsure = false;
        loop {
            self.lease.in_time()?;
            match self.once(ops).await {
                Ok(TxnOutcome::Committed(entries)) => return index_of(&entries, &key),
                Ok(TxnOutcome::Refused(refusals)) => {
                    if unsure && let Some(index) = self.is_written(entry).await? {
                        return Ok(index);
                    }
                    return Err(moved(&refusals));
                }
                Err(error) if error.is_retryable() => {
                    unsure |= error.effect_may_have_happened();
                    tracing::warn!(%error, incident = %self.record.id, "Consul did not take a journal entry, trying again");
                    self.clock.sleep(RETRY_PAUSE).await;
                }
                Err(source) => return Err(Stop::Store { doing: "write its journal", source }),
            }
        }
    }

    /// Whether exactly this entry is in the journal, written by us: then the incident's index now.
    async fn is_written(&self, entry: &JournalEntry) -> Result<Option<u64>, Stop> {
        let read = |source| Stop::Store { doing: "read its journal", source };
        let stored = self.store.get(&self.keys().journal_entry(entry.sequence)).await.map_err(read)?;
        if stored.is_none_or(|stored| stored.value != bytes(entry)) {
            return Ok(None);
        }
        let incident = self.store.get(&self.keys().incident()).await.map_err(read)?;
        let Some(incident) = incident else { return Ok(None) };
        let record: IncidentRecord =
            parse(&incident.key, &incident.value).map_err(|source| Stop::Tree { source })?;
        Ok((record.head == entry.sequence).then_some(incident.modify_index))
    }
}

/// That no person said *hold*: whoever reads the tree by this HA node's own token can compare it once that one was tried
/// on the folder of people's words.
pub(super) fn not_held(formats: &Formats, me: &HaNodeName, id: &IncidentId) -> Option<Op> {
    (formats.reads(me, Kind::Layout) >= 1).then(|| Op::CheckAbsent(keys::incident(id).hold()))
}

/// That somebody else wrote.
pub(super) fn moved(refusals: &[Refusal]) -> Stop {
    let what = refusals.first().map_or_else(|| "no reason".to_owned(), |r| format!("{}: {}", r.key, r.what));
    Stop::Moved { what }
}

/// The index at which a transaction left a key.
pub(super) fn index_of(entries: &[Entry], key: &str) -> Result<u64, Stop> {
    entries.iter().rev().find(|entry| entry.key == key).map(|entry| entry.modify_index).ok_or_else(|| {
        Stop::Journal {
            incident: key.to_owned(),
            why: "Consul's answer to a transaction does not say where it left this key".into(),
        }
    })
}

/// Why an event is not appended.
pub(super) fn not_appended(id: &IncidentId, why: CannotAppend) -> Stop {
    match why {
        CannotAppend::Illegal(why) => Stop::Journal { incident: id.to_string(), why: why.to_string() },
        CannotAppend::HeldBack(held) => held.into(),
    }
}

/// An event that fits into an entry, whatever a BMC or Nova said.
pub(super) fn cut(event: Event) -> Event {
    let short = |text: String| -> String { text.chars().take(1000).collect() };
    match event {
        Event::Started { step, strategy, facts } => Event::Started { step, strategy, facts: bounded(facts) },
        Event::Finished { step, outcome, facts } => Event::Finished { step, outcome, facts: bounded(facts) },
        Event::MembersSeen { members } => {
            Event::MembersSeen { members: members.into_iter().take(MAX_MEMBERS).collect() }
        }
        Event::FencingHolder { node, verdict } => Event::FencingHolder { node, verdict: short(verdict) },
        Event::HolderFenced { node, outcome, by } => Event::HolderFenced { node, outcome, by: short(by) },
        Event::HandedBack { to, machine, said } => Event::HandedBack { to, machine, said: short(said) },
        Event::AddressAnswers { seen } => Event::AddressAnswers { seen: short(seen) },
        Event::Held { reason, cause } => Event::Held { reason: short(reason), cause },
        Event::Withdrawn { reason } => Event::Withdrawn { reason: short(reason) },
        Event::Closed { summary } => Event::Closed { summary: short(summary) },
        Event::RetryEnded { reason } => Event::RetryEnded { reason: short(reason) },
        Event::Claimed { .. }
        | Event::Adopted { .. }
        | Event::Resumed { .. }
        | Event::Abandoned { .. }
        | Event::Retried { .. } => event,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::journal::{MAX_ENTRY_BYTES, MemberSeen};
    use crate::tree::record::Record;

    #[test]
    fn an_entry_of_a_host_with_more_members_than_any_has_stays_below_its_size() {
        let member = |number: u32| {
            (
                format!("{number:08x}:384edff1:0c126ded:b8d8ca93"),
                MemberSeen { events: u64::MAX, updated: u64::MAX },
            )
        };
        let event = cut(Event::MembersSeen { members: (0..1000).map(member).collect() });
        let entry = JournalEntry {
            version: JournalEntry::VERSION,
            sequence: u64::MAX,
            term: u64::MAX,
            by: "n".repeat(200),
            machine: Some("f".repeat(32).try_into().unwrap()),
            boot: Some("f".repeat(36)),
            at: jiff::Timestamp::MAX,
            what: event,
        };
        let length = bytes(&entry).len();
        assert!(length < MAX_ENTRY_BYTES, "{length}");
    }
}
