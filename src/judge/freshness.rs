//! Fresh by order, not by clocks.
//!
//! Consul's index orders all writes. A foreign record is fresh when it was written later than our
//! own record's write of two intervals ago: whoever probes at all has written since. The
//! yardstick holds only while our own record is itself of now and its last writes are consecutive;
//! both are judged by CLOCK_BOOTTIME of this very machine, never by a wall clock.

use std::time::Duration;

use crate::tree::observer::ObserverRecord;

/// Whether a record is of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Written within about two intervals.
    Fresh,
    /// Older than that.
    Stale,
    /// There is nothing to compare it with: wait until its sequence rises.
    CannotTell,
}

/// This machine's life, to compare with the one in its own record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Life {
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// CLOCK_BOOTTIME now.
    pub boottime: Duration,
}

/// Intervals that an own record may be old. Two and a half: one for the running probe, one that
/// may have been skipped, and half for a slow machine. Below the default threshold of three, so
/// that a stopped prober is noticed before its silence could make a vote.
const OWN_AGE_INTERVALS: f64 = 2.5;

/// How many of its own writes a yardstick looks back: two intervals.
const LOOK_BACK: usize = 2;

/// Whether our own record was written by this machine in this life, a moment ago.
pub fn own(record: &ObserverRecord, life: &Life) -> Freshness {
    if record.life.boot_id != life.boot_id {
        return Freshness::Stale;
    }
    let written = Duration::from_millis(record.life.boottime_ms);
    let Some(age) = life.boottime.checked_sub(written) else {
        // From the future of the same boot: not a record that this machine can have written.
        return Freshness::CannotTell;
    };
    let allowed = Duration::from_millis(record.interval_ms).mul_f64(OWN_AGE_INTERVALS);
    if age <= allowed { Freshness::Fresh } else { Freshness::Stale }
}

/// The index that a foreign record must have been written after, if our own record can say.
/// `own_index` is that of the current write: one that is not above those before it is of another Consul, into which the tree
/// was copied, and its order is not theirs.
pub fn yardstick(own_record: &ObserverRecord, own_index: u64, life: &Life) -> Option<u64> {
    if own(own_record, life) != Freshness::Fresh
        || own_record.fails == 0
        || own_record.indices.iter().any(|index| *index >= own_index)
    {
        return None;
    }
    // `indices` are the writes before the current one; the probe empties the list when its writes
    // were not consecutive (healthy between, another boot, a gap).
    let back = own_record.indices.len().checked_sub(LOOK_BACK)?;
    own_record.indices.get(back).copied()
}

/// Whether a foreign record is fresh.
pub fn foreign(modify_index: u64, yardstick: Option<u64>) -> Freshness {
    match yardstick {
        None => Freshness::CannotTell,
        Some(index) if modify_index > index => Freshness::Fresh,
        Some(_) => Freshness::Stale,
    }
}
