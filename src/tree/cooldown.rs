//! `ha_cluster/cooldown`: nobody is marked for a while, and why.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::formats::Kind;
use super::record::Record;
use crate::names::{HaNodeName, HostName};

/// How many hosts a cool-down names.
pub const MOST_HOSTS: usize = 16;

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
        /// The failure domains that were over their limit; none means the whole site. A reader that does not know
        /// this field takes every storm for the site's.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        domains: Vec<String>,
        /// The hosts counted, as far as [`MOST_HOSTS`]; for people.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        hosts: Vec<HostName>,
    },
    /// One observer sees more failing than can be believed. Only its own votes rest: were
    /// everybody's to rest, one ill HA node would leave the whole site unprotected.
    SelfDoubt {
        /// The observer.
        observer: HaNodeName,
    },
    /// Consul had no leader: nothing writes this any more, and whoever finds it heeds it. Each HA node rests its own votes
    /// now, in its records ([`super::observer::ObserverLife`]).
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
            Cause::Storm { counted, limit, domains, hosts } => {
                let of = match domains.len() {
                    0 => String::new(),
                    1 => format!(" in domain {}", domains.join(", ")),
                    _ => format!(" in domains {}", domains.join(", ")),
                };
                let names: Vec<&str> = hosts.iter().map(HostName::as_str).collect();
                let names = match names.is_empty() {
                    true => String::new(),
                    false => format!(
                        " ({}{})",
                        names.join(", "),
                        if *counted > names.len() { ", ..." } else { "" }
                    ),
                };
                format!("storm: {counted} hosts at once{of}{names}, limit {limit}")
            }
            Cause::SelfDoubt { observer } => format!("{observer} doubted itself: it saw too much failing"),
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
