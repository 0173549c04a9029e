//! The machine that asks.

use std::path::PathBuf;
use std::time::Instant;

use super::memory::Memory;
use super::owner::What;
use super::sight::Disks;
use crate::names::HostName;

/// Who this machine is, in this boot.
pub struct Machine {
    /// Its name in the tree.
    pub host: HostName,
    /// What waits for the answer.
    pub what: What,
    /// Its boot.
    pub boot_id: String,
    /// What it remembers.
    pub memory: Memory,
    /// Its disks.
    pub disks: Disks,
    /// Until when disks that are not here may still come.
    pub disks_come_until: Instant,
    /// Where word is left that the storage was let start; none where somebody only asks.
    pub run_dir: Option<PathBuf>,
}
