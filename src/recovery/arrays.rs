//! The seam to the md arrays and mounts of this HA node, for storage `md`.
//!
//! [`Arrays::look`] changes nothing. Each of the others is one effect, and can be asked for again: whoever asked
//! believes only the next look. They name an array by its UUID and its members by where they were published to
//! be, never by a device's name here.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;

use crate::disks::mountinfo::Mount;
use crate::disks::places::{Place, Sight};
use crate::disks::running::Running;
use crate::fence::PoweredOff;

/// This HA node's md arrays and mounts.
#[async_trait]
pub trait Arrays: Send + Sync {
    /// Looks at all that a takeover decides by, in one go.
    ///
    /// # Errors
    /// Nobody can tell what is so.
    async fn look(&self, question: &Question) -> Result<Seen, String>;

    /// Whether [`Self::assemble`] would find what it needs here: one path to each member, and the programs. Changes
    /// nothing.
    ///
    /// # Errors
    /// What is missing.
    async fn is_able(&self, order: &Assembly, within: Duration) -> Result<(), String>;

    /// Assembles one array, while the host that had it is proved off. Refused where a member that is asked for is
    /// not here, or no single path leads to it.
    ///
    /// # Errors
    /// It may have been assembled all the same, or in part.
    async fn assemble(&self, order: &Assembly, off: &PoweredOff, within: Duration) -> Result<(), String>;

    /// Writes a name into each of these members: assembles the array read-only for it, and leaves it so. What
    /// was taken is given back by that; its data are not touched.
    ///
    /// # Errors
    /// It may have been written all the same, or into some of them.
    async fn rename(
        &self,
        uuid: &str,
        members: &BTreeSet<Place>,
        name: &str,
        within: Duration,
    ) -> Result<(), String>;

    /// Stops the array that has this kernel name here (`md127`), if it still is the one with this UUID.
    ///
    /// # Errors
    /// It may have been stopped all the same.
    async fn stop(&self, device: &str, uuid: &str, within: Duration) -> Result<(), String>;

    /// Mounts a device (its kernel name here) at a place. Replays the filesystem's log, so the host that wrote it
    /// must be proved off.
    ///
    /// # Errors
    /// It may have been mounted all the same.
    async fn mount(
        &self,
        device: &str,
        fs_type: &str,
        at: &Path,
        off: &PoweredOff,
        within: Duration,
    ) -> Result<(), String>;

    /// Unmounts what is seen at a place. Never lazily: a filesystem that is in use stays.
    ///
    /// # Errors
    /// It may have been unmounted all the same.
    async fn unmount(&self, at: &Path, within: Duration) -> Result<(), String>;
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Arrays, by UUID, with the places of their members.
    pub arrays: Vec<(String, BTreeSet<Place>)>,
    /// Where filesystems are to be mounted.
    pub mountpoints: Vec<PathBuf>,
    /// How much of this machine's disks.
    pub scope: Scope,
    /// How long it may take.
    pub within: Duration,
}

/// Which disks a look is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All: those too that nobody named may say that they are members.
    All,
    /// The places of the members only. Enough where nothing but what was assembled or mounted a moment ago is to be seen.
    Members,
}

/// What is so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// What is at the places, array by array, in the order of the question.
    pub sights: Vec<Vec<Sight>>,
    /// Disks here that say that they are members of one of the arrays (its UUID) and are at none of its places; none where
    /// they were not looked for.
    pub strangers: Vec<(String, String)>,
    /// All arrays that the kernel has.
    pub running: Vec<Running>,
    /// Devices that may be arrays and could not be read: name, and why.
    pub unread: Vec<(String, String)>,
    /// The mount table, in its order.
    pub mounts: Vec<Mount>,
    /// What is at each mountpoint of the question, in its order.
    pub mountpoints: Vec<Mountpoint>,
}

/// What is at a mountpoint, as it is seen now: of a filesystem that is mounted there, or beneath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mountpoint {
    /// Nothing.
    Absent,
    /// Something that is no directory, or a symbolic link.
    NoDirectory,
    /// A directory that is reached by a symbolic link further up: the mount table would name the other place.
    Elsewhere(PathBuf),
    /// A directory.
    Directory {
        /// How many of its entries are guests' directories (named by a UUID).
        guests: usize,
    },
}

/// How an array is to be assembled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assembly {
    /// In mdadm's form.
    pub uuid: String,
    /// Which members: those that are here and current.
    pub members: BTreeSet<Place>,
    /// With how much of it.
    pub start: Start,
    /// What it becomes.
    pub how: How,
}

/// With how much of itself an array may start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With all that it had last.
    Whole,
    /// Without some of its members.
    Degraded,
    /// The same, of members that are older than others. That they are current is written into them.
    Forced,
}

/// What an assembled array is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// To look at it: no data and no superblock are written, on no member. Of an internal bitmap the kernel brings its
    /// own counts up to date.
    ReadOnly,
    /// To have it: this name is written into each member before the array can be written to.
    Named(String),
}
