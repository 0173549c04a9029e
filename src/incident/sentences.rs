//! What the build 7763f26 said in sentences, and what this build says in fields: the one place that reads them, and
//! that writes them for an HA node that reads nothing else.
//!
//! Entries of the journal in version 1 say by a fact which strategy took the storage, and by the reason of a hold that
//! the host lives. A reason is also what a person types, so only the exact words count of the HA node that held the
//! incident then, in their exact place. Entries of version 2 are never read so.

use super::journal::{Event, HeldCause, JournalEntry};
use super::step::Step;
use crate::names::{HaNodeName, HostName};
use crate::tree::storage::StrategyName;

/// The version whose entries say it in sentences.
pub(super) const IN_SENTENCES: u64 = 1;

/// After the host's name and a colon, the reason of a hold begins with this.
const HOST_LIVES: &str = "its power reads off, and it writes to its disks: it lives";

/// A fact of *started: take storage* begins with this.
const STRATEGY: &str = "strategy ";

/// The entry with its meaning in fields, whatever version it has. `holder` had the incident when it was written.
pub fn typed(entry: JournalEntry, host: &HostName, holder: Option<&HaNodeName>) -> JournalEntry {
    if entry.version != IN_SENTENCES {
        return entry;
    }
    let by_holder = holder.is_some_and(|holder| holder.as_str() == entry.by);
    let what = match entry.what {
        Event::Started { step: Step::TakeStorage, strategy: None, facts } => {
            let strategy =
                facts.iter().find_map(|fact| fact.strip_prefix(STRATEGY)).and_then(StrategyName::of);
            Event::Started { step: Step::TakeStorage, strategy, facts }
        }
        Event::Held { reason, cause: None } => {
            let is_a_persons = reason.ends_with(&format!("(by {})", entry.by));
            let lives = by_holder && !is_a_persons && reason.starts_with(&host_lives(host));
            Event::Held { reason, cause: lives.then_some(HeldCause::HostLives) }
        }
        other => other,
    };
    JournalEntry { what, ..entry }
}

/// The event as version 1 says it: the fields are left out, and said in the words that 7763f26 looks for. `None` where
/// they cannot be.
pub fn in_sentences(event: Event, host: &HostName) -> Option<Event> {
    let event = match event {
        Event::Started { step, strategy: Some(strategy), mut facts } => {
            facts.insert(0, format!("{STRATEGY}{}", strategy.word()));
            Event::Started { step, strategy: Some(strategy), facts }
        }
        Event::Held { reason, cause: Some(HeldCause::HostLives) } => {
            let begins = host_lives(host);
            let reason = if reason.starts_with(&begins) { reason } else { format!("{begins}: {reason}") };
            Event::Held { reason, cause: Some(HeldCause::HostLives) }
        }
        // 7763f26 looks for these words anywhere in a reason, also where a person typed them.
        Event::Held { reason, cause: cause @ (None | Some(HeldCause::GuestsMayBeDown)) } => {
            let reason = reason.replace(HOST_LIVES, "it lives, says this text, by its disks");
            Event::Held { reason, cause }
        }
        other => other,
    };
    event.as_before()
}

fn host_lives(host: &HostName) -> String {
    format!("{host}: {HOST_LIVES}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: u64, by: &str, what: Event) -> JournalEntry {
        let at = jiff::Timestamp::UNIX_EPOCH;
        JournalEntry { version, sequence: 2, term: 1, by: by.into(), at, what, machine: None, boot: None }
    }

    fn read(version: u64, by: &str, what: Event) -> Event {
        let (host, holder) = ("compute1".parse().unwrap(), "ha1".parse().unwrap());
        typed(entry(version, by, what), &host, Some(&holder)).what
    }

    fn cause(version: u64, by: &str, reason: &str) -> Option<HeldCause> {
        match read(version, by, Event::Held { reason: reason.into(), cause: None }) {
            Event::Held { cause, .. } => cause,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_holders_own_words_in_their_place_say_that_the_host_lives() {
        let says = format!("compute1: {HOST_LIVES}: member 0 was written; pull its plug");
        assert_eq!(cause(1, "ha1", &says), Some(HeldCause::HostLives));
        for (by, reason) in [
            ("ann", format!("compute1: {HOST_LIVES} (by ann)")),
            ("ann", says.clone()),
            // A person who is called as the HA node is.
            ("ha1", format!("compute1: {HOST_LIVES} (by ha1)")),
            ("ha2", says.clone()),
            ("ha1", format!("seen in the log: compute1: {HOST_LIVES}")),
            ("ha1", format!("compute2: {HOST_LIVES}")),
            ("ha1", "compute1: a disk is missing".to_owned()),
        ] {
            assert_eq!(cause(1, by, &reason), None, "{by}: {reason}");
        }
        assert_eq!(cause(2, "ha1", &says), None, "an entry of version 2 says it in its field or not at all");
    }

    #[test]
    fn what_is_written_for_an_older_build_is_read_with_the_same_meaning() {
        let host = "compute1".parse().unwrap();
        let strategies = [None, Some(StrategyName::Shared), Some(StrategyName::Md), Some(StrategyName::Exec)];
        for strategy in strategies {
            let facts = vec!["off: by ipmi".to_owned()];
            let old =
                in_sentences(Event::Started { step: Step::TakeStorage, strategy, facts }, &host).unwrap();
            let Event::Started { strategy: read, .. } = read(1, "ha1", old) else { panic!() };
            assert_eq!(read, strategy);
        }
        let typed_by_a_person = format!("compute1: {HOST_LIVES}");
        let old = in_sentences(Event::Held { reason: typed_by_a_person, cause: None }, &host).unwrap();
        assert!(!format!("{old:?}").contains(HOST_LIVES), "{old:?}");
        for reason in ["compute1: reworded", "x"] {
            for cause in [None, Some(HeldCause::HostLives)] {
                let old = in_sentences(Event::Held { reason: reason.into(), cause }, &host).unwrap();
                let Event::Held { cause: read, .. } = read(1, "ha1", old) else { panic!() };
                assert_eq!(read, cause, "{reason}");
            }
        }
    }
}
