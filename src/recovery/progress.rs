//! How far a recovery is, while it runs: for a person and for programs. It decides nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::incident::guest::GuestEntry;
use crate::names::IncidentId;
use crate::say;

/// Something that a watcher may want to see at once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event<'a> {
    /// Of which incident.
    pub incident: &'a IncidentId,
    /// What.
    #[serde(flatten)]
    pub what: What<'a>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What<'a> {
    /// A guest is accounted for.
    Guest {
        /// Nova's server id.
        server: &'a str,
        /// Its name.
        name: &'a str,
        /// Its outcome in one word.
        outcome: &'a str,
        /// Nova host where it is now.
        to: Option<&'a str>,
        /// Why, where there is a why.
        why: Option<&'a str>,
    },
    /// How far all of them are.
    Guests(Totals<'a>),
    /// The host is left to finish a crash dump, or it is listened whether it announces one.
    Dump {
        /// Announcements so far.
        messages: u64,
        /// Seconds that it is given at most from here on.
        left_seconds: u64,
    },
}

/// How far all guests are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals<'a> {
    /// All that are known.
    pub guests: usize,
    /// Accounted for.
    pub done: usize,
    /// Evacuations under way.
    pub under_way: usize,
    /// How many may be under way at once now: the policy's number, less while Nova struggles.
    pub at_most: usize,
    /// Those accounted for, by outcome.
    pub outcomes: BTreeMap<&'a str, usize>,
}

impl<'a> Event<'a> {
    /// How far all are.
    pub fn totals(incident: &'a IncidentId, totals: Totals<'a>) -> Self {
        Self { incident, what: What::Guests(totals) }
    }

    /// The fence waits for a crash dump.
    pub fn dump(incident: &'a IncidentId, messages: u64, left: Duration) -> Self {
        Self { incident, what: What::Dump { messages, left_seconds: left.as_secs() } }
    }

    /// A guest is accounted for.
    pub fn guest(incident: &'a IncidentId, entry: &'a GuestEntry) -> Self {
        let what = What::Guest {
            server: &entry.server,
            name: &entry.name,
            outcome: entry.state.word(),
            to: entry.state.to(),
            why: entry.state.why(),
        };
        Self { incident, what }
    }

    /// For a person.
    pub fn text(&self) -> String {
        let incident = self.incident;
        match &self.what {
            What::Guest { name, outcome, to, why, .. } => {
                let more = match (to, why) {
                    (Some(to), _) => format!(" on {to}"),
                    (None, Some(why)) => format!(": {why}"),
                    (None, None) => String::new(),
                };
                format!("{incident}: {name} {outcome}{more}")
            }
            What::Dump { messages: 0, left_seconds } => {
                format!("{incident}: listening whether a crash dump is announced, {left_seconds}s at most")
            }
            What::Dump { messages, left_seconds } => format!(
                "{incident}: a crash dump is announced ({messages} times) and left to finish, {left_seconds}s at most"
            ),
            What::Guests(t) => {
                let outcomes: Vec<String> =
                    t.outcomes.iter().map(|(word, n)| format!("{n} {word}")).collect();
                let outcomes =
                    if outcomes.is_empty() { String::new() } else { format!(" ({})", outcomes.join(", ")) };
                format!(
                    "{incident}: {} of {} guests done{outcomes}, {} under way (at most {})",
                    t.done, t.guests, t.under_way, t.at_most
                )
            }
        }
    }
}

/// Who watches.
pub trait Watcher: Send + Sync {
    /// Takes one event; it must not block for long.
    fn say(&self, event: &Event<'_>);
}

/// Nobody watches.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nobody;

impl Watcher for Nobody {
    fn say(&self, _: &Event<'_>) {}
}

/// One line an event on stdout: for a person, or as one JSON object.
#[derive(Debug, Clone, Copy)]
pub struct Lines {
    /// JSON.
    pub json: bool,
}

impl Watcher for Lines {
    fn say(&self, event: &Event<'_>) {
        match self.json {
            true => say::json_line(&serde_json::to_string(event).unwrap_or_default()),
            false => say::line(&event.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident() -> IncidentId {
        "compute1@0".parse().unwrap()
    }

    #[test]
    fn totals_read_like_a_sentence_and_as_one_object() {
        let totals = Totals {
            guests: 40,
            done: 3,
            under_way: 16,
            at_most: 16,
            outcomes: [("recovered", 2), ("refused", 1)].into(),
        };
        let id = incident();
        let event = Event::totals(&id, totals);
        let text = "compute1@0: 3 of 40 guests done (1 refused, 2 recovered), 16 under way (at most 16)";
        assert_eq!(event.text().replace("2 recovered, 1 refused", "1 refused, 2 recovered"), text);
        let json = serde_json::to_value(&event).unwrap();
        assert_eq!(json["event"], "guests");
        assert_eq!((json["incident"].as_str(), json["done"].as_u64()), (Some("compute1@0"), Some(3)));
        assert_eq!(json["outcomes"]["refused"], 1);
    }

    #[test]
    fn a_guest_says_where_it_is_or_why_not() {
        let line = |to, why, outcome| {
            let what = What::Guest { server: "s", name: "web", outcome, to, why };
            Event { incident: &incident(), what }.text()
        };
        assert_eq!(line(Some("ha1"), None, "recovered"), "compute1@0: web recovered on ha1");
        assert_eq!(line(None, Some("deleted"), "excluded"), "compute1@0: web excluded: deleted");
    }
}
