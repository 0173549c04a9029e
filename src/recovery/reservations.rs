//! The seam to persistent reservations (SCSI-3): what a disk itself keeps of who may write to it, for storage `md`.
//!
//! A second fence. A host that its BMC calls off, and that lives, has its writes refused by the disks. It never
//! stands for the proof of *off*: disks that keep no reservations are taken all the same, and that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;

use crate::disks::DiskId;
use crate::disks::places::Place;
use crate::disks::reservation_key::ReservationKey;
use crate::fence::PoweredOff;

/// Arrays by UUID, with the places of their members in the order in which they are to be reserved.
pub type Members = [(String, Vec<Place>)];

/// The disks that this HA node sees, as they may be reserved. Whatever of the members is not here, or is no member any
/// more, is left alone.
#[async_trait]
pub trait Reservations: Send + Sync {
    /// Who has reserved the disks of these members; those that do not say it are left out. Changes nothing.
    async fn holders(&self, members: &Members, within: Duration) -> BTreeMap<DiskId, ReservationKey>;

    /// Reserves the disks of these members, one after the other, so that nobody but this HA node writes to them, while the host that had
    /// them is proved off. Whoever had reserved one loses it, and what it had under way there is aborted. What is
    /// reserved so already stays so.
    ///
    /// # Errors
    /// Somebody else has one, and keeps it, or one does not answer. Others may have been reserved.
    async fn reserve(&self, order: &Order<'_>, off: &PoweredOff, within: Duration) -> Result<Reserved, Kept>;

    /// Takes this key off the disks of these members, and with it the reservation, where it is there.
    ///
    /// # Errors
    /// It may still be on one, or be off all the same.
    async fn give_up(&self, members: &Members, key: ReservationKey, within: Duration) -> Result<(), String>;
}

/// What is to be reserved.
#[derive(Debug, Clone, Copy)]
pub struct Order<'a> {
    /// The members whose disks.
    pub members: &'a Members,
    /// This HA node's key.
    pub key: ReservationKey,
    /// Keys of HA nodes that had them before.
    pub earlier: &'a BTreeSet<ReservationKey>,
}

impl Order<'_> {
    /// Whether this key may be taken off a disk: not that of an HA node which never had it by what is known here. Any
    /// other is the dead host's own, or of whatever else must not write beside us.
    pub fn may_preempt(&self, key: ReservationKey) -> bool {
        !key.is_an_ha_nodes() || key == self.key || self.earlier.contains(&key)
    }
}

/// What became of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reserved {
    /// How many disks refuse everybody else's writes now.
    pub disks: usize,
    /// Whose reservations were taken off them.
    pub preempted: BTreeSet<ReservationKey>,
    /// Disks that could not be reserved: which, and why.
    pub unable: Vec<String>,
}

impl Reserved {
    /// With what became of others.
    pub fn add(&mut self, more: Self) {
        self.disks += more.disks;
        self.preempted.extend(more.preempted);
        self.unable.extend(more.unable);
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut parts = Vec::new();
        if self.disks > 0 {
            let disks = if self.disks == 1 { "disk" } else { "disks" };
            parts.push(format!("{} {disks} reserved", self.disks));
        }
        if !self.preempted.is_empty() {
            let keys: Vec<String> = self.preempted.iter().map(ToString::to_string).collect();
            parts.push(format!("taken from key {}", keys.join(", ")));
        }
        if !self.unable.is_empty() {
            parts.push(format!("not reserved: {}", self.unable.join(", ")));
        }
        parts.join("; ")
    }
}

/// Why a disk is not this HA node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// An HA node that had not had it before, by what is known here.
    ByAnHaNode {
        /// Which disk.
        disk: String,
        /// Its key.
        key: ReservationKey,
    },
    /// It could not be taken from whoever has it: our own writes would be refused.
    Still {
        /// Which disk.
        disk: String,
        /// What was tried, and what came of it.
        why: String,
    },
    /// No answer came in time: whether it can be reserved is not known. A disk that keeps no reservations says so.
    Unclear {
        /// What was asked, and how it ended.
        why: String,
    },
}
