//! The next entry of a journal: pure. The one place that knows in which version an entry is written.

use jiff::Timestamp;

use super::IncidentRecord;
use super::journal::{Event, JournalEntry};
use super::sentences::{IN_SENTENCES, in_sentences};
use super::status::Illegal;
use crate::machine_id::MachineId;
use crate::names::HostName;
use crate::tree::formats::{Formats, HeldBack, Kind};

/// Who writes, and for whom it must be readable.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The HA node; for a person's event who says so.
    pub by: &'a str,
    /// The machine that writes; `None` for a person's event.
    pub machine: Option<&'a MachineId>,
    /// The incident's term under which it is written.
    pub term: u64,
    /// Wall clock.
    pub at: Timestamp,
    /// What the configured HA nodes read.
    pub formats: &'a Formats,
}

/// Why an event cannot be appended.
#[derive(Debug, thiserror::Error)]
pub enum CannotAppend {
    /// It cannot follow.
    #[error(transparent)]
    Illegal(Illegal),
    /// A configured HA node would not read it.
    #[error(transparent)]
    HeldBack(HeldBack),
}

/// The record and the entry that follow from an event, in the lowest version that says all of it. Where an HA node
/// reads only an older one, the event is written as that one knows it ([`in_sentences`]), if it can be.
///
/// # Errors
/// The event cannot follow, or an older HA node would not read it.
pub fn next(
    record: &IncidentRecord,
    event: Event,
    writer: &Writer<'_>,
) -> Result<(IncidentRecord, JournalEntry), CannotAppend> {
    let (event, version) = written(event, record.id.host(), writer.formats)?;
    let status = record.status.after(&event).map_err(CannotAppend::Illegal)?;
    let sequence = record.head + 1;
    let entry = JournalEntry {
        version,
        sequence,
        term: writer.term,
        by: writer.by.to_owned(),
        machine: writer.machine.cloned(),
        boot: None,
        at: writer.at,
        what: event,
    };
    let record = IncidentRecord { status, head: sequence, changed_at: writer.at, ..record.clone() };
    Ok((record, entry))
}

/// The event as all configured HA nodes read it, and its version.
fn written(event: Event, host: &HostName, formats: &Formats) -> Result<(Event, u64), CannotAppend> {
    let old = match formats.lowest(Kind::Journal) > IN_SENTENCES {
        true => None,
        false => in_sentences(event.clone(), host),
    };
    match old {
        Some(old) => Ok((old, IN_SENTENCES)),
        None => {
            let needed = event.since();
            let allowed = formats.allows(Kind::Journal, needed);
            allowed.map(|()| (event, needed)).map_err(CannotAppend::HeldBack)
        }
    }
}
