//! What earlier holders of an incident left that is still to be reckoned with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::boots::Boots;
use super::history::{History, Retry};
use super::holder;
use super::stop::Stop;
use super::world::World;
use crate::clock::BootInstant;
use crate::machine_id::MachineId;
use crate::names::HaNodeName;

/// What is still to be reckoned with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Earlier {
    /// Other HA nodes that are not proved off, with their terms: a POST of theirs may be on its way.
    pub may_act: BTreeMap<HaNodeName, BTreeSet<u64>>,
    /// The term in which a person last led the incident out of a hold. What was held in it or before
    /// is looked at again; what was held later waits for the next such word, also over a crash.
    pub resumed: Option<u64>,
    /// Where it is open again for guests that it left held: for which.
    pub retry: Option<Retry>,
    /// Other HA nodes that began to take the storage: they may have it mounted.
    pub took_storage: BTreeSet<HaNodeName>,
    /// Those of them of which this run has written that it powers them off.
    pub being_fenced: BTreeSet<HaNodeName>,
    /// When a power-off of one of them was on its way last, at the latest.
    pub commanded: BTreeMap<HaNodeName, BootInstant>,
    /// The machine of each HA node that held it, where the journal says so.
    pub machines: BTreeMap<HaNodeName, MachineId>,
    /// How often it was handed back since a person led on last.
    pub returns: u32,
    /// Whether this HA node has begun anything since it became the holder.
    pub begun_here: bool,
    /// Whether this HA node may have the storage since an earlier time that it held the incident.
    pub took_before: bool,
    /// Whether this very run took it from another HA node.
    pub adopted_now: bool,
    /// In which boots it was held.
    pub boots: Boots,
}

impl Earlier {
    /// What earlier holders left by the journal, and which of them may be acting still: `holder` has it now.
    ///
    /// # Errors
    /// Whether one of them is off cannot be asked.
    pub async fn of(world: &World, history: &History, holder: Option<&HaNodeName>) -> Result<Self, Stop> {
        let now = world.clock.boottime();
        let mut earlier = Self {
            resumed: history.resumed,
            retry: history.retry.clone(),
            took_storage: history.took_storage.iter().filter(|node| **node != world.me).cloned().collect(),
            // Of an earlier run of this or another HA node nobody knows when.
            commanded: history.tenure.being_fenced.iter().map(|node| (node.clone(), now)).collect(),
            machines: history.tenure.machines.clone(),
            returns: history.tenure.returns,
            begun_here: history.tenure.has_begun(&world.me),
            boots: history.boots.clone(),
            took_before: history.took_storage.contains(&world.me),
            adopted_now: !history.tenure.is_of(&world.me),
            ..Self::default()
        };
        for (node, terms) in history.others(&world.me, holder) {
            if !holder::is_off(world, &node).await? {
                earlier.may_act.insert(node, terms);
            }
        }
        Ok(earlier)
    }

    /// Whether what was begun in this term may still be on its way.
    pub fn may_act(&self, term: u64) -> bool {
        self.may_act.values().any(|terms| terms.contains(&term))
    }

    /// Whether a power-off that was sent to it may still arrive: one attempt takes less than the lock-delay.
    pub fn may_be_commanded(&self, node: &HaNodeName, now: BootInstant, lock_delay: Duration) -> bool {
        self.commanded.get(node).is_some_and(|at| now.saturating_duration_since(*at) < lock_delay)
    }

    /// This HA node is proved off: nothing that it began is on its way, and it has nothing mounted.
    pub fn is_off(&mut self, node: &HaNodeName) {
        self.may_act.remove(node);
        self.took_storage.remove(node);
    }
}
