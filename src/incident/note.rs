//! `incidents/{id}/preflight/{ha-node}`: why an HA node cannot go on now. Waiting is said aloud.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::HaNodeName;
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// Why this HA node cannot take the incident, or cannot go on with it, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingNote {
    /// Format version.
    pub version: u64,
    /// Who waits.
    pub node: HaNodeName,
    /// For what, each a sentence of its own.
    pub reasons: Vec<String>,
    /// The operator's next commands.
    pub next: Vec<String>,
    /// Wall clock of the first note with these reasons.
    pub since: Timestamp,
    /// When it was tried last. Since version 2; nothing of what is tried by other means than by a run that begins it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried: Option<Tried>,
}

/// When this HA node tried an incident last, and when it does again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tried {
    /// Wall clock; written anew at most once in [`NOTED_EVERY`].
    pub at: Timestamp,
    /// When it is tried again.
    pub again: Again,
}

/// When an incident is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// In the same run, seconds after each try.
    InThisRun,
    /// By the next run: a timer begins one each minute.
    NextRun,
}

/// How often it is written that a wait was tried again. A person reads it; more often would be a write to Consul every few
/// seconds for hours.
pub const NOTED_EVERY: Duration = Duration::from_secs(60);

/// After so long without a try a run is missing: a run may look at slow devices for minutes, and the timer waits a minute.
const MISSED_AFTER: Duration = Duration::from_secs(5 * 60);

impl Record for WaitingNote {
    const VERSION: u64 = Kind::WaitingNote.newest();

    fn stored(&self) -> Cow<'_, Self> {
        let version = if self.tried.is_some() { 2 } else { 1 };
        Cow::Owned(Self { version, ..self.clone() })
    }
}

impl WaitingNote {
    /// When it was tried last and when it is tried again, for people. Clocks differ: a try in the future is one of now.
    pub fn tried_text(&self, now: Timestamp) -> Option<String> {
        let Tried { at, again } = self.tried?;
        let age = Duration::try_from(now.duration_since(at)).unwrap_or_default();
        let (last, ago) = (at.strftime("%H:%M:%SZ"), ago(age));
        Some(match again {
            _ if age >= MISSED_AFTER => {
                format!(
                    "last tried {last}, {ago} ago, and not since: does nova-ha-recover run on {}?",
                    self.node
                )
            }
            Again::InThisRun => format!("tries every few seconds, noted each minute: last {last}, {ago} ago"),
            Again::NextRun => {
                format!("last tried {last}, {ago} ago; tries again with its next run, each minute")
            }
        })
    }
}

fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::record::{bytes, parse};

    fn note(again: Option<Again>) -> WaitingNote {
        let at: Timestamp = "2026-11-30T02:14:05Z".parse().unwrap();
        WaitingNote {
            version: 2,
            node: "ha1".parse().unwrap(),
            reasons: vec!["its BMC does not answer".into()],
            next: Vec::new(),
            since: at,
            tried: again.map(|again| Tried { at, again }),
        }
    }

    #[test]
    fn a_wait_says_when_it_was_tried_last_and_when_it_is_tried_again() {
        for (again, later, expected) in [
            (
                Again::NextRun,
                20,
                "last tried 02:14:05Z, 20 s ago; tries again with its next run, each minute",
            ),
            (Again::InThisRun, 130, "tries every few seconds, noted each minute: last 02:14:05Z, 2 min ago"),
            // The observer's clock is behind, or this one's is ahead: nothing is negative.
            (
                Again::NextRun,
                -90,
                "last tried 02:14:05Z, 0 s ago; tries again with its next run, each minute",
            ),
            (
                Again::NextRun,
                3 * 3600,
                "last tried 02:14:05Z, 3 h ago, and not since: does nova-ha-recover run on ha1?",
            ),
            (
                Again::InThisRun,
                300,
                "last tried 02:14:05Z, 5 min ago, and not since: does nova-ha-recover run on ha1?",
            ),
        ] {
            let note = note(Some(again));
            let now = note.since + jiff::SignedDuration::from_secs(later);
            assert_eq!(note.tried_text(now).unwrap(), expected);
        }
        assert_eq!(note(None).tried_text(note(None).since), None);
    }

    #[test]
    fn what_was_not_tried_is_written_as_before_and_read_by_older_builds() {
        for (again, version) in [(None, 1), (Some(Again::NextRun), 2)] {
            let stored: serde_json::Value = serde_json::from_slice(&bytes(&note(again))).unwrap();
            assert_eq!((&stored["version"], stored.get("tried").is_some()), (&version.into(), version == 2));
            assert_eq!(parse::<WaitingNote>("k", &bytes(&note(again))).unwrap().tried, note(again).tried);
        }
    }
}
