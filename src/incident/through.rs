//! `incidents/{id}/gone/{ha-node}`: a machine that held an incident has no process left that works on it.
//!
//! A process that stood still (its virtual machine paused, the process stopped) may do one thing more when it goes on. So
//! a host is given back only when each machine that ever held its incident has said that it is through: under its
//! file lock, which a process that stands still keeps from everybody.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::journal::{Event, JournalEntry};
use crate::machine_id::MachineId;
use crate::names::{HaNodeName, NameError};
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// That a machine is through with an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    /// Format version.
    pub version: u64,
    /// Which machine, whatever it calls itself.
    pub machine: MachineId,
    /// The last term in which it took the incident: what it took later it is not through with.
    pub term: u64,
    /// Wall clock, for people.
    pub at: Timestamp,
}

impl Record for Through {
    const VERSION: u64 = Kind::Through.newest();
}

/// A machine that took an incident, and is not known to be off since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holding {
    /// What it calls itself.
    pub node: HaNodeName,
    /// Which machine; `None` where a build took it that did not write that.
    pub machine: Option<MachineId>,
    /// The last term in which it took it.
    pub term: u64,
    /// When that was, by its wall clock: for people.
    pub since: Timestamp,
}

impl Holding {
    /// Whether this word is of this machine, and about all that it took. Where nobody knows which machine it was, the one
    /// that has its name now is believed.
    pub fn is_over_by(&self, said: &Through) -> bool {
        said.term >= self.term && self.machine.as_ref().is_none_or(|machine| *machine == said.machine)
    }
}

/// The machines that took an incident, by its journal, but for those that were proved off since, or of which a person said
/// that they are no more.
///
/// # Errors
/// An entry says that something took it that has no HA node's name.
pub fn holdings<'a>(journal: impl IntoIterator<Item = &'a JournalEntry>) -> Result<Vec<Holding>, NameError> {
    let mut holdings: Vec<Holding> = Vec::new();
    for entry in journal {
        match &entry.what {
            Event::Claimed { .. } | Event::Adopted { .. } => {
                let node: HaNodeName = entry.by.parse()?;
                holdings.retain(|held| held.node != node || held.machine != entry.machine);
                let machine = entry.machine.clone();
                holdings.push(Holding { node, machine, term: entry.term, since: entry.at });
            }
            // Whatever of it stood still has no power any more.
            Event::HolderFenced { node, .. } | Event::Resumed { gone: Some(node), .. } => {
                holdings.retain(|held| held.node != *node);
            }
            Event::Resumed { gone: None, .. }
            | Event::Started { .. }
            | Event::Finished { .. }
            | Event::MembersSeen { .. }
            | Event::FencingHolder { .. }
            | Event::AddressAnswers { .. }
            | Event::HandedBack { .. }
            | Event::Held { .. }
            | Event::Withdrawn { .. }
            | Event::Abandoned { .. }
            | Event::Closed { .. }
            | Event::Retried { .. }
            | Event::RetryEnded { .. } => {}
        }
    }
    Ok(holdings)
}

/// Those of them that have not said that they are through.
pub fn awaited(holdings: Vec<Holding>, said: &BTreeMap<HaNodeName, Through>) -> Vec<Holding> {
    let is_over = |held: &Holding| said.get(&held.node).is_some_and(|said| held.is_over_by(said));
    holdings.into_iter().filter(|held| !is_over(held)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::journal::{AdoptionGround, Outcome};

    fn machine(of: char) -> MachineId {
        of.to_string().repeat(32).try_into().unwrap()
    }

    fn entry(term: u64, by: &str, machine: Option<MachineId>, what: Event) -> JournalEntry {
        JournalEntry {
            version: 2,
            sequence: 1,
            term,
            by: by.into(),
            machine,
            boot: None,
            at: Timestamp::UNIX_EPOCH,
            what,
        }
    }

    fn took(term: u64, by: &str, machine: Option<MachineId>) -> JournalEntry {
        entry(term, by, machine, Event::Adopted { from: None, ground: AdoptionGround::NobodyHeld })
    }

    fn said(of: char, term: u64) -> Through {
        Through { version: 1, machine: machine(of), term, at: Timestamp::UNIX_EPOCH }
    }

    /// Who is waited for, after these entries and these words.
    fn waits_for(journal: &[JournalEntry], words: &[(&str, Through)]) -> Vec<(String, u64)> {
        let words = words.iter().map(|(node, word)| (node.parse().unwrap(), word.clone())).collect();
        let left = awaited(holdings(journal).unwrap(), &words);
        left.into_iter().map(|held| (held.node.to_string(), held.term)).collect()
    }

    #[test]
    fn each_machine_is_waited_for_until_it_spoke_of_the_last_time_that_it_took_it() {
        let a = Some(machine('a'));
        let journal = [took(1, "ha1", a.clone()), took(2, "ha2", Some(machine('b'))), took(3, "ha1", a)];
        let all = vec![("ha2".to_owned(), 2), ("ha1".to_owned(), 3)];
        assert_eq!(waits_for(&journal, &[]), all);
        assert_eq!(waits_for(&journal, &[("ha1", said('a', 1))]), all, "it took it again since");
        assert_eq!(waits_for(&journal, &[("ha1", said('c', 3))]), all, "another machine of that name");
        assert_eq!(waits_for(&journal, &[("ha1", said('a', 3))]), [("ha2".to_owned(), 2)]);
        assert!(waits_for(&journal, &[("ha1", said('a', 3)), ("ha2", said('b', 2))]).is_empty());
    }

    #[test]
    fn one_that_was_installed_anew_does_not_speak_for_the_machine_before_it() {
        let journal = [took(1, "ha1", Some(machine('a'))), took(2, "ha1", Some(machine('b')))];
        assert_eq!(waits_for(&journal, &[("ha1", said('b', 2))]), [("ha1".to_owned(), 1)]);
    }

    #[test]
    fn where_no_machine_was_written_the_name_speaks() {
        assert!(waits_for(&[took(1, "ha1", None)], &[("ha1", said('a', 1))]).is_empty());
    }

    #[test]
    fn one_that_was_proved_off_or_is_no_more_by_a_persons_word_is_not_waited_for_unless_it_took_it_again() {
        let node = || "ha1".parse().unwrap();
        let fenced = Event::HolderFenced { node: node(), outcome: Outcome::Changed, by: "bmc".into() };
        let gone = Event::Resumed { by: "ann".into(), gone: Some(node()) };
        for event in [fenced, gone] {
            let mut journal = vec![took(1, "ha1", Some(machine('a'))), entry(2, "ha2", None, event)];
            assert!(waits_for(&journal, &[]).is_empty());
            journal.push(took(3, "ha1", Some(machine('a'))));
            assert_eq!(waits_for(&journal, &[]), [("ha1".to_owned(), 3)]);
        }
    }
}
