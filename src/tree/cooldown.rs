//! `ha_cluster/cooldown`: nobody is marked for a while, and why.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::formats::Kind;
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

/// A cool-down. How much of it is left each machine counts by its own boot clock; the times here
/// are for people.
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
    const VERSION: u64 = Kind::Cooldown.newest();
}

impl Cooldown {
    /// What is about left at `now`, for people: between zero and the whole length, whatever the
    /// two wall clocks say.
    pub fn about_left(&self, now: Timestamp) -> Duration {
        let passed = u64::try_from(now.duration_since(self.began_at).as_secs()).unwrap_or(0);
        Duration::from_secs(self.seconds.saturating_sub(passed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_are_told_is_never_longer_than_the_whole() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let c = Cooldown { version: 1, cause: Cause::LeaderLost, began_at: at(1000), seconds: 900 };
        let left = |now| c.about_left(now).as_secs();
        assert_eq!([at(1000), at(1899), at(1900), at(0)].map(left), [900, 1, 0, 900]);
        assert_eq!([Timestamp::MIN, Timestamp::MAX].map(left), [900, 0]);
    }
}
