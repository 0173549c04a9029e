//! `incidents/{id}/guests/{server}`: one guest's ledger entry. Each guest ends in a named state.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// Where one guest stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case", deny_unknown_fields)]
pub enum GuestState {
    /// Nova is being asked to show it as ERROR, from which alone it can be evacuated; it may or may
    /// not have heard that.
    Resetting,
    /// The evacuation is being asked for: Nova may or may not have heard it.
    Posting,
    /// Nova accepted the evacuation.
    Accepted {
        /// Nova's request id of our POST, if the answer arrived.
        request_id: Option<String>,
    },
    /// It arrived, and is being stopped: it did not run before, and Nova evacuates nothing without
    /// starting it.
    Stopping {
        /// Nova host where it is now.
        to: String,
    },
    /// Is where it should be, in the state it should.
    Recovered {
        /// Nova host where it is now.
        to: String,
    },
    /// Not to be recovered.
    Excluded {
        /// Why.
        why: String,
    },
    /// Nova would not, or this build will not.
    Refused {
        /// Why.
        why: String,
    },
    /// It was tried and is known to have failed.
    Failed {
        /// Why.
        why: String,
    },
    /// Nobody can tell: a person must look before anything else is asked for.
    Held {
        /// Why.
        why: String,
        /// What of it decides whether the incident waits for that person too. Since version 3; absent it waits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<HeldFor>,
    },
}

/// Why a guest is held, as far as anything is decided by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldFor {
    /// What was being done with it when its host died, or since its evacuation ended, which its owner may have asked for. No
    /// evacuation of it that we asked for may still be under way. It holds nobody but itself.
    OwnState,
}

impl GuestState {
    /// A doubt about what was asked of Nova, about the guest's disk or about where it runs: the incident waits for a person.
    pub fn held(why: String) -> Self {
        GuestState::Held { why, cause: None }
    }

    /// Whether a person must look at the guest before the incident can end.
    pub fn holds_its_incident(&self) -> bool {
        match self {
            GuestState::Held { cause, .. } => match cause {
                None => true,
                Some(HeldFor::OwnState) => false,
            },
            GuestState::Resetting
            | GuestState::Posting
            | GuestState::Accepted { .. }
            | GuestState::Stopping { .. }
            | GuestState::Recovered { .. }
            | GuestState::Excluded { .. }
            | GuestState::Refused { .. }
            | GuestState::Failed { .. } => false,
        }
    }

    /// Whether the guest is accounted for.
    pub fn is_final(&self) -> bool {
        match self {
            GuestState::Resetting
            | GuestState::Posting
            | GuestState::Accepted { .. }
            | GuestState::Stopping { .. } => false,
            GuestState::Recovered { .. }
            | GuestState::Excluded { .. }
            | GuestState::Refused { .. }
            | GuestState::Failed { .. }
            | GuestState::Held { .. } => true,
        }
    }

    /// One word for tables and JSON.
    pub fn word(&self) -> &'static str {
        match self {
            GuestState::Resetting => "resetting",
            GuestState::Posting => "posting",
            GuestState::Accepted { .. } => "accepted",
            GuestState::Stopping { .. } => "stopping",
            GuestState::Recovered { .. } => "recovered",
            GuestState::Excluded { .. } => "excluded",
            GuestState::Refused { .. } => "refused",
            GuestState::Failed { .. } => "failed",
            GuestState::Held { .. } => "held",
        }
    }

    /// Nova host where it is now, once it is known to have arrived.
    pub fn to(&self) -> Option<&str> {
        match self {
            GuestState::Recovered { to } | GuestState::Stopping { to } => Some(to),
            GuestState::Resetting
            | GuestState::Posting
            | GuestState::Accepted { .. }
            | GuestState::Excluded { .. }
            | GuestState::Refused { .. }
            | GuestState::Failed { .. }
            | GuestState::Held { .. } => None,
        }
    }

    /// Why, where there is a why.
    pub fn why(&self) -> Option<&str> {
        match self {
            GuestState::Excluded { why }
            | GuestState::Refused { why }
            | GuestState::Failed { why }
            | GuestState::Held { why, .. } => Some(why),
            GuestState::Resetting
            | GuestState::Posting
            | GuestState::Accepted { .. }
            | GuestState::Stopping { .. }
            | GuestState::Recovered { .. } => None,
        }
    }
}

/// How many guests ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    counts: BTreeMap<&'static str, usize>,
    /// By name, in the order of the ledger.
    held: Vec<String>,
    partial: bool,
}

/// Held guests that one line names; the ledger names them all.
const MOST_NAMED: usize = 10;

impl Summary {
    /// Counts them.
    pub fn of<'a>(states: impl Iterator<Item = &'a GuestState>) -> Self {
        let mut summary = Self::default();
        for state in states {
            *summary.counts.entry(state.word()).or_default() += 1;
            summary.partial |= match state {
                GuestState::Recovered { .. } | GuestState::Excluded { .. } => false,
                GuestState::Resetting
                | GuestState::Posting
                | GuestState::Accepted { .. }
                | GuestState::Stopping { .. }
                | GuestState::Refused { .. }
                | GuestState::Failed { .. }
                | GuestState::Held { .. } => true,
            };
        }
        summary
    }

    /// Counts what the ledger says, and names those that are held.
    pub fn of_entries<'a>(entries: impl Iterator<Item = &'a GuestEntry> + Clone) -> Self {
        let is_held = |entry: &&GuestEntry| matches!(entry.state, GuestState::Held { .. });
        let held = entries.clone().filter(is_held).map(|entry| entry.name.clone()).collect();
        Self { held, ..Self::of(entries.map(|entry| &entry.state)) }
    }

    /// Whether a guest that was to be recovered was not.
    pub fn is_partial(&self) -> bool {
        self.partial
    }
}

impl fmt::Display for Summary {
    /// One line; a partial success is shown as partial.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        match (parts.is_empty(), self.partial) {
            (true, _) => f.write_str("no guests")?,
            (false, true) => write!(f, "PARTIAL: {}", parts.join(", "))?,
            (false, false) => f.write_str(&parts.join(", "))?,
        }
        if self.held.is_empty() {
            return Ok(());
        }
        let (count, guests) = (self.held.len(), if self.held.len() == 1 { "guest" } else { "guests" });
        let named: Vec<&str> = self.held.iter().take(MOST_NAMED).map(String::as_str).collect();
        let more = if count > MOST_NAMED { ", ..." } else { "" };
        write!(f, "; {count} {guests} held: {}{more}", named.join(", "))
    }
}

/// The token of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sent {
    /// What we call it; it opens nothing.
    pub token: String,
    /// By keystone's clock no request with it is taken any more from then on: its end, or, where it was revoked, when
    /// Nova has forgotten that it was good.
    pub until: Timestamp,
}

/// One guest in one incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestEntry {
    /// Format version.
    pub version: u64,
    /// Nova's server id.
    pub server: String,
    /// Nova's server name, for people.
    pub name: String,
    /// Nova host it ran on.
    pub from: String,
    /// The term under which the last change was written.
    pub term: u64,
    /// How often an evacuation was asked for.
    pub attempts: u32,
    /// Highest id of an evacuation of this guest that Nova had before our first POST: history.
    pub before: i64,
    /// Nova's migration, once seen.
    pub migration: Option<i64>,
    /// vm_state that it had when it was first seen on the dead host.
    pub vm_state: String,
    /// Whether it must not be left running.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_stopped: bool,
    /// Nova's ids of our requests, oldest first: they find them in Nova's logs and among the guest's
    /// actions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<String>,
    /// With which token Nova was asked for something last, if it was since format 2: Nova may hear that request for as
    /// long as it takes the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// Where it stands.
    pub state: GuestState,
    /// Wall clock of the last change.
    pub at: Timestamp,
}

impl GuestEntry {
    /// Whether it must not be left running; entries of the first build say so by their vm_state.
    pub fn must_stop(&self) -> bool {
        self.ends_stopped || self.vm_state == "stopped"
    }
}

impl Record for GuestEntry {
    const VERSION: u64 = Kind::Guest.newest();

    fn stored(&self) -> Cow<'_, Self> {
        let version = match &self.state {
            GuestState::Held { cause: Some(HeldFor::OwnState), .. } => 3,
            GuestState::Held { cause: None, .. }
            | GuestState::Resetting
            | GuestState::Posting
            | GuestState::Accepted { .. }
            | GuestState::Stopping { .. }
            | GuestState::Recovered { .. }
            | GuestState::Excluded { .. }
            | GuestState::Refused { .. }
            | GuestState::Failed { .. } => 1 + u64::from(self.sent.is_some()),
        };
        Cow::Owned(Self { version, ..self.clone() })
    }
}
