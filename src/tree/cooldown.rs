//! `ha_cluster/cooldown`: nobody is marked for a while, and why.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::names::HaNodeName;

/// What made the cool-down necessary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// More suspects than the storm guard allows.
    Storm {
        /// Hosts counted.
        counted: usize,
        /// The limit they passed.
        limit: usize,
    },
    /// One observer sees more failing than can be believed. Only its own votes rest: were
    /// everybody's to rest, one ill HA node would leave the whole site unprotected.
    SelfDoubt {
        /// The observer.
        observer: HaNodeName,
    },
    /// Consul had no leader.
    LeaderLost,
}

impl Cause {
    /// The one observer whose votes rest; `None` when nobody is marked.
    pub fn silences(&self) -> Option<&HaNodeName> {
        match self {
            Cause::SelfDoubt { observer } => Some(observer),
            Cause::Storm { .. } | Cause::LeaderLost => None,
        }
    }

    /// For people.
    pub fn text(&self) -> String {
        match self {
            Cause::Storm { counted, limit } => format!("storm: {counted} hosts at once, limit {limit}"),
            Cause::SelfDoubt { observer } => format!("{observer} saw too much failing"),
            Cause::LeaderLost => "Consul had no leader".into(),
        }
    }
}

/// A cool-down, by wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cooldown {
    /// Format version.
    pub version: u64,
    /// Why.
    pub cause: Cause,
    /// When it began, by the writer's wall clock.
    pub began_at: Timestamp,
    /// How long it lasts.
    pub seconds: u64,
}

impl Record for Cooldown {
    const VERSION: u64 = 1;
}

impl Cooldown {
    /// What is left at `now`; `None` when it is over. A clock behind the writer's lengthens it: a
    /// beginning in the future leaves at least the whole length.
    pub fn left(&self, now: Timestamp) -> Option<Duration> {
        let length = SignedDuration::from_secs(i64::try_from(self.seconds).unwrap_or(i64::MAX));
        let passed = now.duration_since(self.began_at);
        Duration::try_from(length.saturating_sub(passed)).ok().filter(|left| !left.is_zero())
    }

    /// Its cause for people, who must also know of a beginning in the future: with a clock far
    /// off, nobody would be protected for as long.
    pub fn text(&self, now: Timestamp) -> String {
        let cause = self.cause.text();
        if self.began_at > now {
            let at = self.began_at.strftime("%Y-%m-%d %H:%M:%SZ");
            format!("{cause}; it begins at {at}, which is yet to come: a clock is wrong")
        } else {
            cause
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_behind_only_lengthens_a_cooldown() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let c = Cooldown { version: 1, cause: Cause::LeaderLost, began_at: at(1000), seconds: 900 };
        assert_eq!(c.left(at(1000)), Some(Duration::from_secs(900)));
        assert_eq!(c.left(at(1899)), Some(Duration::from_secs(1)));
        assert_eq!(c.left(at(1900)), None);
        assert!(c.left(at(0)).unwrap() >= Duration::from_secs(900));
    }
}
