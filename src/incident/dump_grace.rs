//! `incidents/{id}/kdump`: how much of the grace for a crash dump was used up, by whichever HA node.
//!
//! Time is *charged before it is waited*, a slice at a time, and counted by the boot clock of whoever
//! waits. So no wall clock is asked, no two machines' clocks are compared, and a process that is killed
//! in mid-slice has paid for more than it waited, never for less: over all resumes and adopters the
//! slices add up to no more than the policy's grace.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// The grace of one incident.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpGrace {
    /// Format version.
    pub version: u64,
    /// Milliseconds that were waited, or were going to be.
    pub charged_ms: u64,
    /// Announcements that were heard, for people.
    pub messages: u64,
    /// Why nobody waits any more, once that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<String>,
}

impl DumpGrace {
    /// Nothing used up.
    pub fn new() -> Self {
        Self { version: Self::VERSION, ..Self::default() }
    }

    /// What was used up.
    pub fn charged(&self) -> Duration {
        Duration::from_millis(self.charged_ms)
    }

    /// Pays for a slice that is going to be waited; a part of a millisecond costs a whole one.
    pub fn charge(&mut self, slice: Duration) {
        let whole = u64::try_from(slice.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.charged_ms = self.charged_ms.saturating_add(whole);
    }
}

impl Record for DumpGrace {
    const VERSION: u64 = Kind::DumpGrace.newest();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_charged_adds_up_and_never_to_less() {
        let mut grace = DumpGrace::new();
        grace.charge(Duration::from_secs(5));
        grace.charge(Duration::from_nanos(1));
        assert_eq!(grace.charged(), Duration::from_millis(5001));
        grace.charge(Duration::MAX);
        grace.charge(Duration::MAX);
        assert_eq!(grace.charged_ms, u64::MAX);
    }
}
