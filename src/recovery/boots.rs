//! In which boot of its HA node each term of an incident began: a fold of the journal.
//!
//! A boot stops the guests of a machine, and Nova may show them as running for ten minutes after it. So what was recovered to an
//! HA node in another boot than its present one is not known to run.

use std::collections::{BTreeMap, BTreeSet};

use crate::incident::journal::{AdoptionGround, Event, HeldCause, JournalEntry};
use crate::names::HaNodeName;

/// A boot of a machine: `/proc/sys/kernel/random/boot_id`. `None` where a build wrote the entry that does not say it.
type Boot = Option<String>;

/// The boots of all HA nodes that held the incident.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boots {
    /// By term.
    terms: BTreeMap<u64, (HaNodeName, Boot)>,
    /// HA nodes that were voted dead, with the term in which the incident was adopted from each last.
    died: BTreeMap<HaNodeName, u64>,
    /// It was held because guests may be down.
    held_for_them: bool,
    /// A person led on from that, and nobody took it since: they have looked.
    looked: bool,
    /// Who took it first after that, and in which boot.
    looked_before: Option<(HaNodeName, Boot)>,
}

impl Boots {
    /// What the next entry changes.
    pub fn add(&mut self, entry: &JournalEntry) {
        match &entry.what {
            Event::Claimed { .. } | Event::Adopted { .. } => {
                let Ok(node) = entry.by.parse::<HaNodeName>() else { return };
                let boot = entry.boot.clone();
                match (std::mem::take(&mut self.looked), &self.looked_before) {
                    (true, _) => self.looked_before = Some((node.clone(), boot.clone())),
                    // Another one adopted it from whoever died after that look.
                    (false, Some((before, _))) if *before != node => self.looked_before = None,
                    (false, _) => {}
                }
                if let Event::Adopted { from: Some(from), ground: AdoptionGround::HolderDead { .. } } =
                    &entry.what
                {
                    self.died.insert(from.clone(), entry.term);
                }
                self.terms.insert(entry.term, (node, boot));
            }
            Event::HandedBack { .. } => self.looked_before = None,
            Event::Held { cause, .. } => self.held_for_them = *cause == Some(HeldCause::GuestsMayBeDown),
            Event::Resumed { .. } => self.looked = std::mem::take(&mut self.held_for_them),
            Event::Started { .. }
            | Event::Finished { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::HolderFenced { .. }
            | Event::AddressAnswers { .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::Closed { .. }
            | Event::Retried { .. }
            | Event::RetryEnded { .. } => {}
        }
    }

    /// Whether a person has looked at the guests since they may be down, and this HA node has not booted after that.
    pub fn were_looked_at(&self, me: &HaNodeName, boot: &str) -> bool {
        let since = |(node, then): &(HaNodeName, Boot)| node == me && then.as_deref() == Some(boot);
        self.looked || self.looked_before.as_ref().is_some_and(since)
    }

    /// The HA nodes that held it.
    pub fn nodes(&self) -> BTreeSet<&HaNodeName> {
        self.terms.values().map(|(node, _)| node).collect()
    }

    /// It was voted dead, and this run adopts the incident from it.
    pub fn adopted_from(&mut self, node: &HaNodeName) {
        self.died.insert(node.clone(), u64::MAX);
    }

    /// Whether this HA node itself, in its present boot, has booted since its last term up to this one. A term that is not in the
    /// journal is of this very run.
    pub fn i_booted_since(&self, term: u64, me: &HaNodeName, now: &str) -> bool {
        let Some((last, then)) = self.held_last(term, me) else { return false };
        let is_of_this_run = last < term && self.terms.range(term..).next().is_none();
        !is_of_this_run && then.as_ref().is_some_and(|then| then != now)
    }

    /// Whether another HA node died, or booted, since its last term up to this one. `now` is the boot that it has published
    /// last: one that was dead may not have published yet that it booted.
    pub fn another_stopped_since(&self, term: u64, node: &HaNodeName, now: Option<&str>) -> bool {
        let Some((last, then)) = self.held_last(term, node) else { return false };
        let died = self.died.get(node).is_some_and(|died| *died > last);
        let booted = then.as_deref().zip(now).is_some_and(|(then, now)| then != now);
        died || booted
    }

    fn held_last(&self, term: u64, node: &HaNodeName) -> Option<(u64, &Boot)> {
        let mut earlier = self.terms.range(..=term).rev();
        earlier.find(|(_, (holder, _))| holder == node).map(|(term, (_, boot))| (*term, boot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(by: &str, term: u64, boot: &str, what: Event) -> JournalEntry {
        let (at, boot) = (jiff::Timestamp::UNIX_EPOCH, (!boot.is_empty()).then(|| boot.to_owned()));
        JournalEntry { version: 1, sequence: 1, term, by: by.into(), machine: None, boot, at, what }
    }

    fn taken(by: &str, term: u64, boot: &str) -> JournalEntry {
        entry(by, term, boot, Event::Adopted { from: None, ground: AdoptionGround::SameNode })
    }

    fn held(cause: Option<HeldCause>) -> JournalEntry {
        entry("ha1", 2, "", Event::Held { reason: "why".into(), cause })
    }

    fn resumed() -> JournalEntry {
        entry("ann", 2, "", Event::Resumed { by: "ann".into(), gone: None })
    }

    fn of(entries: &[JournalEntry]) -> Boots {
        let mut boots = Boots::default();
        entries.iter().for_each(|entry| boots.add(entry));
        boots
    }

    #[test]
    fn what_was_recovered_in_another_boot_is_not_known_to_run() {
        let me: HaNodeName = "ha1".parse().unwrap();
        let boots = of(&[taken("ha1", 1, "a"), taken("ha1", 2, "b")]);
        assert!(boots.i_booted_since(1, &me, "b") && !boots.i_booted_since(2, &me, "b"));
        assert!(boots.i_booted_since(2, &me, "c"));
        assert!(!boots.i_booted_since(3, &me, "c"), "that is this run's own term");
        // Written by whoever adopted it meanwhile: it arrived here in the boot before that.
        let back = of(&[taken("ha1", 1, "a"), taken("ha2", 2, "x"), taken("ha1", 3, "b")]);
        assert!(back.i_booted_since(2, &me, "b"));
        // A build that does not say its boot: nothing is known, and nothing changed.
        assert!(!of(&[taken("ha1", 1, "")]).i_booted_since(1, &me, "b"));
        assert!(!of(&[]).i_booted_since(1, &me, "b"));
    }

    #[test]
    fn another_that_was_voted_dead_or_that_published_another_boot_may_have_lost_its_guests() {
        let ha1: HaNodeName = "ha1".parse().unwrap();
        let free = of(&[taken("ha1", 1, "a"), taken("ha2", 2, "x")]);
        for (now, stopped) in [(None, false), (Some("a"), false), (Some("b"), true)] {
            assert_eq!(free.another_stopped_since(1, &ha1, now), stopped, "{now:?}");
        }
        let dead = Event::Adopted {
            from: Some(ha1.clone()),
            ground: AdoptionGround::HolderDead { verdict: "2 of 2".into() },
        };
        let voted = of(&[taken("ha1", 1, "a"), entry("ha2", 2, "x", dead)]);
        assert!(voted.another_stopped_since(1, &ha1, Some("a")), "it may not have said so yet");
        let back = [taken("ha1", 3, "b"), taken("ha2", 4, "x")];
        let mut later = voted;
        back.iter().for_each(|entry| later.add(entry));
        assert!(!later.another_stopped_since(3, &ha1, Some("b")), "that was before it took it again");
        later.adopted_from(&ha1);
        assert!(later.another_stopped_since(3, &ha1, Some("b")));
    }

    #[test]
    fn only_a_word_after_that_very_hold_says_that_a_person_looked_and_for_one_boot() {
        let me: HaNodeName = "ha1".parse().unwrap();
        let begun = [taken("ha1", 1, "a"), taken("ha1", 2, "b")];
        let down = || held(Some(HeldCause::GuestsMayBeDown));
        let looked = |more: &[JournalEntry]| of(&[&begun[..], more].concat());
        assert!(!looked(&[]).were_looked_at(&me, "b"));
        assert!(!looked(&[down()]).were_looked_at(&me, "b"));
        assert!(!looked(&[held(None), resumed()]).were_looked_at(&me, "b"), "another hold");
        assert!(looked(&[down(), resumed()]).were_looked_at(&me, "b"));
        let again = [down(), resumed(), taken("ha1", 3, "b")];
        assert!(looked(&again).were_looked_at(&me, "b"), "its process was killed since");
        assert!(!looked(&again).were_looked_at(&me, "c"), "it booted once more");
        let adopted = [&again[..], &[taken("ha2", 4, "x")]].concat();
        assert!(!looked(&adopted).were_looked_at(&"ha2".parse().unwrap(), "x"), "ha1 died since");
    }
}
