//! When this machine first saw what a person said, by a clock that nobody can set.
//!
//! A person's order or word says when it was given by the wall clock of another machine, and a reader whose
//! own clock is behind would let it count for longer. So each machine remembers, until its next boot, at which
//! point of its boot clock it first saw this very order or word. As with cool-downs (ADR 0011), but to the
//! other side: where nothing can be remembered, it does not count.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;

use super::witness::Witness;
use crate::clock::{BootInstant, TimeLimit, TimeOver};
use crate::incident::lead;
use crate::incident::record::Order;
use crate::names::IncidentId;
use crate::own_files::{self, OwnFileError};

/// Something that a person said in an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said<'a> {
    /// An order: the record that holds it is written again and again, so it is known by its own time.
    Order(&'a Order),
    /// A word of its own key, known by Consul's index of it.
    Word {
        /// That index.
        index: u64,
    },
    /// A word for one device of a fence level, likewise.
    Device {
        /// The device, as its key ends.
        of: &'a str,
        /// That index.
        index: u64,
    },
    /// A word that says *go on*, likewise.
    Lead {
        /// That index.
        index: u64,
    },
}

impl Said<'_> {
    fn file(&self, id: &IncidentId) -> String {
        match self {
            Said::Order(_) => format!("first-seen/{id}.order"),
            Said::Word { .. } => format!("first-seen/{id}.word"),
            Said::Device { of, .. } => format!("first-seen/{id}.device-{of}"),
            Said::Lead { .. } => format!("first-seen/{id}.lead"),
        }
    }

    /// One word without blanks.
    fn identity(&self) -> String {
        match self {
            Said::Order(order) => format!("{}+{}", order.at, order.ttl().as_secs()),
            Said::Word { index } | Said::Device { index, .. } | Said::Lead { index } => index.to_string(),
        }
    }
}

/// Why an order does not count.
#[derive(Debug, thiserror::Error)]
pub enum NotCounted {
    /// Its time.
    #[error(transparent)]
    Time(#[from] TimeOver),
    /// This machine cannot remember when it saw it first.
    #[error("when this machine first saw it cannot be remembered in {folder}")]
    Memory {
        /// Where.
        folder: String,
        /// The cause.
        source: OwnFileError,
    },
}

/// When this machine, in this boot, first saw it; now, if never before.
///
/// # Errors
/// It cannot be remembered.
pub fn first_seen(witness: &Witness<'_>, id: &IncidentId, said: Said<'_>) -> Result<BootInstant, NotCounted> {
    let file = said.file(id);
    let life = witness.life();
    if let Some(seen) = remembered(&witness.run_dir, &file, &said.identity(), &life.boot_id, life.boottime) {
        return Ok(BootInstant::since_boot(seen));
    }
    let text = format!("{} {} {}\n", said.identity(), life.boot_id, life.boottime.as_millis());
    own_files::write_whole(&witness.run_dir, &file, &text).map_err(|source| NotCounted::Memory {
        folder: witness.run_dir.join("first-seen").display().to_string(),
        source,
    })?;
    Ok(BootInstant::since_boot(life.boottime))
}

/// Whether an order counts now, on this machine.
///
/// # Errors
/// It does not, and why.
pub fn counts(witness: &Witness<'_>, id: &IncidentId, order: &Order) -> Result<(), NotCounted> {
    let seen = first_seen(witness, id, Said::Order(order))?;
    Ok(TimeLimit { at: order.at, ttl: order.ttl() }.counts(seen, witness.clock)?)
}

/// Whether a word that says *go on* counts now, on this machine.
///
/// # Errors
/// It does not, and why.
pub fn word_counts(
    witness: &Witness<'_>,
    id: &IncidentId,
    index: u64,
    at: Timestamp,
) -> Result<(), NotCounted> {
    let seen = first_seen(witness, id, Said::Lead { index })?;
    Ok(TimeLimit { at, ttl: lead::TTL }.counts(seen, witness.clock)?)
}

/// The boot clock at the first look, if it was in this boot and at this very one.
fn remembered(run_dir: &Path, file: &str, identity: &str, boot_id: &str, now: Duration) -> Option<Duration> {
    let text = own_files::text(run_dir, file)?;
    let mut words = text.split_ascii_whitespace();
    let same = words.next()? == identity && words.next()? == boot_id;
    let seen = Duration::from_millis(words.next()?.parse().ok()?);
    (same && seen <= now).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sight_is_of_this_boot_and_of_this_very_thing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let at = |identity: &str, boot: &str, now: u64| {
            remembered(folder.path(), "x", identity, boot, Duration::from_millis(now))
                .map(|seen| seen.as_millis())
        };
        assert_eq!(at("7", "a", 9000), None);
        std::fs::write(&path, "7 a 5000\n").unwrap();
        assert_eq!(at("7", "a", 9000), Some(5000));
        assert_eq!(at("8", "a", 9000), None, "another word");
        assert_eq!(at("7", "b", 9000), None, "another boot");
        assert_eq!(at("7", "a", 4000), None, "a boot clock never goes back");
        for spoilt in ["", "7", "7 a", "7 a soon"] {
            std::fs::write(&path, spoilt).unwrap();
            assert_eq!(at("7", "a", 9000), None, "{spoilt:?}");
        }
    }
}
