//! What earlier holders of an incident left, by its journal: it outlives every process.

use std::collections::{BTreeMap, BTreeSet};

use super::boots::Boots;
use super::stop::Stop;
use super::tenure::Tenure;
use super::world::World;
use crate::incident::guest::{GuestEntry, GuestState};
use crate::incident::journal::{AdoptionGround, Event, HeldCause, JournalEntry, MemberSeen};
use crate::incident::sentences;
use crate::incident::step::Step;
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::tree::record::parse;
use crate::tree::storage::{Strategy, StrategyName};

/// A retry that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// The guests that it is about; none named for all that are held.
    pub guests: Vec<String>,
    /// The term before it: what was written later is of the retry.
    pub since: u64,
}

impl Retry {
    /// Whether it is about this guest.
    pub fn is_about(&self, server: &str) -> bool {
        self.guests.is_empty() || self.guests.iter().any(|guest| guest == server)
    }
}

/// The journal, as far as it says who held the incident when.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    holders: BTreeMap<HaNodeName, BTreeSet<u64>>,
    unsettled: BTreeSet<u64>,
    /// As in [`Earlier`](super::earlier::Earlier).
    pub resumed: Option<u64>,
    /// As in [`Earlier`](super::earlier::Earlier).
    pub retry: Option<Retry>,
    /// HA nodes that began to take the storage, and that nobody who held it later proved off since.
    pub took_storage: BTreeSet<HaNodeName>,
    /// Of the host's own disks.
    pub disks: DisksHistory,
    /// Since when the present holder has it.
    pub tenure: Tenure,
    /// The last entry, where it says only that its holder took it up again, and nothing was done since.
    pub idle: Option<IdleResume>,
    /// In which boots it was held.
    pub boots: Boots,
    /// By which strategies it began to be taken, and who wrote so; `None` where it was not written.
    strategies: BTreeMap<Option<StrategyName>, String>,
}

/// The journal's last entry, which the next one of its kind may replace: an incident that waits is taken up again by every
/// sweep, and would have a journal of thousands of such entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdleResume {
    /// Its place in the journal.
    pub sequence: u64,
    /// Consul's index of it.
    pub index: u64,
    /// Who took it up.
    pub by: HaNodeName,
    /// In which boot: what that one saw stands for itself.
    pub boot: Option<String>,
    term: u64,
}

impl IdleResume {
    fn of(entry: &JournalEntry, index: u64) -> Option<Self> {
        let Event::Adopted { from: Some(from), ground: AdoptionGround::SameNode } = &entry.what else {
            return None;
        };
        let by = (from.as_str() == entry.by).then(|| from.clone())?;
        Some(Self { sequence: entry.sequence, index, by, boot: entry.boot.clone(), term: entry.term })
    }
}

/// What the journal says of the host's own disks. Empty before a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DisksHistory {
    /// HA nodes whose mark may be on them: all that ever began to take them.
    pub marked: BTreeSet<HaNodeName>,
    /// Whether a person resumed it that was held because the host lived: its power was cut by hand.
    pub cut_by_hand: bool,
    /// What the members of its arrays said first, since a person led on last, by their own UUIDs.
    pub members_seen: MembersSeen,
}

/// Members of arrays by their own UUIDs, as the journal says that they were.
pub type MembersSeen = BTreeMap<String, MemberSeen>;

impl History {
    /// Reads it.
    pub async fn read(world: &World, id: &IncidentId) -> Result<Self, Stop> {
        let keys = keys::incident(id);
        let read = |source| Stop::Store { doing: "read its journal", source };
        let tree = |source| Stop::Tree { source };
        let mut history = Self::default();
        let (mut began, mut lives) = (false, false);
        let mut holder: Option<HaNodeName> = None;
        for stored in world.store.list(&keys.journal()).await.map_err(read)? {
            let entry: JournalEntry = parse(&stored.key, &stored.value).map_err(tree)?;
            let entry = sentences::typed(entry, id.host(), holder.as_ref());
            history.tenure.add(&entry);
            history.idle = IdleResume::of(&entry, stored.modify_index);
            history.boots.add(&entry);
            match entry.what {
                Event::Claimed { .. } | Event::Adopted { .. } => {
                    let node: HaNodeName = entry.by.parse().map_err(|_| Stop::Journal {
                        incident: id.to_string(),
                        why: format!("{} says that {:?} took it, which is no HA node", stored.key, entry.by),
                    })?;
                    holder = Some(node.clone());
                    // Whoever goes on with it takes the storage to itself, which is no step of its own.
                    if began {
                        history.took_storage.insert(node.clone());
                        history.disks.marked.insert(node.clone());
                    }
                    history.holders.entry(node).or_default().insert(entry.term);
                }
                Event::Started { step: Step::TakeStorage, strategy, .. } => {
                    began = true;
                    history.strategies.insert(strategy, entry.by.clone());
                    if let Ok(node) = entry.by.parse::<HaNodeName>() {
                        history.took_storage.insert(node.clone());
                        history.disks.marked.insert(node);
                    }
                }
                // By its own word, under its file lock, it has nothing of it.
                Event::HandedBack { .. } => {
                    history.took_storage.retain(|node| node.as_str() != entry.by);
                }
                // Its power was cut, and with it went what it had mounted.
                Event::HolderFenced { node, .. } => {
                    history.took_storage.remove(&node);
                }
                Event::MembersSeen { members } => {
                    for (member, seen) in members {
                        history.disks.members_seen.entry(member).or_insert(seen);
                    }
                }
                Event::Held { cause, .. } => lives = cause == Some(HeldCause::HostLives),
                Event::Resumed { .. } => {
                    history.resumed = history.resumed.max(Some(entry.term));
                    history.disks.cut_by_hand |= std::mem::take(&mut lives);
                    // A person may have been at the disks: that was asked for.
                    history.disks.members_seen.clear();
                }
                // What the members of its arrays said stands: nobody was asked to be at them.
                Event::Retried { guests, .. } => {
                    history.resumed = history.resumed.max(Some(entry.term));
                    history.retry = Some(Retry { guests, since: entry.term });
                }
                Event::Closed { .. } | Event::RetryEnded { .. } => history.retry = None,
                Event::Started { .. }
                | Event::FencingHolder { .. }
                | Event::AddressAnswers { .. }
                | Event::Finished { .. }
                | Event::Withdrawn { .. }
                | Event::Abandoned { .. } => {}
            }
        }
        for stored in world.store.list(&keys.guests()).await.map_err(read)? {
            let guest: GuestEntry = parse(&stored.key, &stored.value).map_err(tree)?;
            history.tenure.guest(guest.term);
            // Whose term that was must stay known.
            if history.idle.as_ref().is_some_and(|idle| idle.term == guest.term) {
                history.idle = None;
            }
            if matches!(guest.state, GuestState::Posting | GuestState::Resetting) {
                history.unsettled.insert(guest.term);
            }
        }
        Ok(history)
    }

    /// Refuses to go on by another storage strategy than the one that the storage was taken by: the
    /// guests' disks are where that one put them, and the other would look for them elsewhere, or take
    /// away from under them what they all share.
    ///
    /// # Errors
    /// Waiting: names both strategies.
    pub fn same_strategy(&self, id: &IncidentId, me: &HaNodeName, own: &Strategy) -> Result<(), Stop> {
        let ours = own.name();
        match self.strategies.iter().find(|(taken_by, _)| taken_by.is_none() || **taken_by != ours) {
            None => Ok(()),
            Some((taken_by, by)) => {
                let word = taken_by.map_or("(unknown)", StrategyName::word);
                Err(Stop::waiting(
                    format!(
                        "{by} took the storage of {} by strategy {word:?}, and {me} has {:?}",
                        id.host(),
                        own.word()
                    ),
                    format!(
                        "run nova-ha-recover {} on an HA node with storage {word} (nova-ha ha-node list), or \
                         nova-ha incident abandon {id} --by NAME",
                        id.host()
                    ),
                ))
            }
        }
    }

    /// Other HA nodes whose terms matter: the one that holds it now may be writing still; of those
    /// before it only such as left an evacuation between its ledger entry and Nova's answer.
    pub fn others(&self, me: &HaNodeName, holder: Option<&HaNodeName>) -> Vec<(HaNodeName, BTreeSet<u64>)> {
        self.holders
            .iter()
            .filter(|(node, terms)| {
                *node != me && (Some(*node) == holder || !terms.is_disjoint(&self.unsettled))
            })
            .map(|(node, terms)| (node.clone(), terms.clone()))
            .collect()
    }
}
