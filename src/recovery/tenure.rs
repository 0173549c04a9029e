//! Who holds an incident since when, and whether that HA node has begun anything: a fold of the journal.

use std::collections::{BTreeMap, BTreeSet};

use crate::incident::journal::{Event, JournalEntry};
use crate::incident::step::PowerOff;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;

/// The present holder's time, and what of the earlier ones matters to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tenure {
    holder: Option<HaNodeName>,
    /// The term in which it became the holder.
    since: u64,
    /// Whether it began a step that has an effect.
    started: bool,
    /// The highest term under which a guest's ledger entry was written.
    last_guest: u64,
    /// The machine of each HA node that held it, where its last entry says so.
    pub machines: BTreeMap<HaNodeName, MachineId>,
    /// Earlier holders that somebody began to power off, and that are not proved off since.
    pub being_fenced: BTreeSet<HaNodeName>,
    /// How often it was handed back since a person led on last.
    pub returns: u32,
}

impl Tenure {
    /// What the next entry changes.
    pub fn add(&mut self, entry: &JournalEntry) {
        match &entry.what {
            Event::Claimed { .. } | Event::Adopted { .. } => {
                let Ok(node) = entry.by.parse::<HaNodeName>() else { return };
                match &entry.machine {
                    Some(machine) => drop(self.machines.insert(node.clone(), machine.clone())),
                    None => drop(self.machines.remove(&node)),
                }
                if self.holder.as_ref() != Some(&node) {
                    (self.holder, self.since, self.started) = (Some(node), entry.term, false);
                }
            }
            Event::HandedBack { to, machine, .. } => {
                self.machines.insert(to.clone(), machine.clone());
                // It had begun before.
                (self.holder, self.since, self.started) = (Some(to.clone()), entry.term, true);
                self.returns += 1;
            }
            Event::Started { step, .. } => {
                let row = step.row();
                self.started |= matches!(row.power_off, PowerOff::Proves | PowerOff::Needed);
            }
            Event::FencingHolder { node, .. } => drop(self.being_fenced.insert(node.clone())),
            Event::HolderFenced { node, .. } => drop(self.being_fenced.remove(node)),
            Event::Resumed { .. } | Event::Retried { .. } => self.returns = 0,
            Event::Finished { .. }
            | Event::MembersSeen { .. }
            | Event::AddressAnswers { .. }
            | Event::Held { .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::RetryEnded { .. }
            | Event::Closed { .. } => {}
        }
    }

    /// A guest's ledger entry was last written under this term.
    pub fn guest(&mut self, term: u64) {
        self.last_guest = self.last_guest.max(term);
    }

    /// Whether this HA node holds it, also in an earlier process.
    pub fn is_of(&self, node: &HaNodeName) -> bool {
        self.holder.as_ref() == Some(node)
    }

    /// Whether it holds it, and has begun anything since it became the holder.
    pub fn has_begun(&self, node: &HaNodeName) -> bool {
        self.is_of(node) && (self.started || self.last_guest >= self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::journal::AdoptionGround;
    use crate::incident::step::Step;

    fn machine(digit: &str) -> MachineId {
        digit.repeat(32).try_into().unwrap()
    }

    fn entry(by: &str, term: u64, what: Event) -> JournalEntry {
        let at = jiff::Timestamp::UNIX_EPOCH;
        JournalEntry {
            version: 1,
            sequence: 1,
            term,
            by: by.into(),
            machine: Some(machine("a")),
            boot: None,
            at,
            what,
        }
    }

    fn adopted() -> Event {
        Event::Adopted { from: None, ground: AdoptionGround::SameNode }
    }

    fn started(step: Step) -> Event {
        Event::Started { step, strategy: None, facts: vec![] }
    }

    #[test]
    fn an_adopter_has_begun_with_its_first_effect_and_over_its_own_resumes() {
        let (ha1, ha2) = ("ha1".parse().unwrap(), "ha2".parse().unwrap());
        let mut tenure = Tenure::default();
        tenure.add(&entry("ha1", 1, Event::Claimed { plan_hash: String::new() }));
        tenure.add(&entry("ha1", 1, started(Step::TakeStorage)));
        tenure.guest(1);
        assert!(tenure.has_begun(&ha1) && !tenure.has_begun(&ha2));
        tenure.add(&entry("ha2", 2, adopted()));
        // Looking at the target is no effect.
        tenure.add(&entry("ha2", 2, started(Step::ReadyTarget)));
        assert!(tenure.is_of(&ha2) && !tenure.has_begun(&ha2));
        let untouched = tenure.clone();
        tenure.add(&entry("ha2", 3, started(Step::Evacuate)));
        tenure.add(&entry("ha2", 4, adopted()));
        assert!(tenure.has_begun(&ha2), "it resumed itself");
        let mut posted = untouched;
        posted.guest(2);
        assert!(posted.has_begun(&ha2), "it wrote a guest's entry");
    }

    #[test]
    fn what_is_handed_back_is_counted_until_a_person_leads_on() {
        let (ha1, ha2) = ("ha1".parse().unwrap(), "ha2".parse().unwrap());
        let mut tenure = Tenure::default();
        tenure.add(&entry("ha2", 2, adopted()));
        tenure.add(&entry(
            "ha2",
            2,
            Event::FencingHolder { node: "ha1".parse().unwrap(), verdict: String::new() },
        ));
        let to = Event::HandedBack { to: "ha1".parse().unwrap(), machine: machine("b"), said: String::new() };
        tenure.add(&entry("ha2", 2, to));
        assert!(tenure.is_of(&ha1) && tenure.has_begun(&ha1) && !tenure.has_begun(&ha2));
        assert_eq!((tenure.returns, tenure.machines.get(&ha1)), (1, Some(&machine("b"))));
        assert!(tenure.being_fenced.contains(&ha1));
        tenure.add(&entry("p", 2, Event::Resumed { by: "p".into(), gone: None }));
        assert_eq!(tenure.returns, 0);
    }
}
