//! Whether this machine's disks agree that its storage and guests are its own.

use std::time::Instant;

use super::answer::Answer;
use super::disks::{self, Kept};
use super::machine::Machine;
use super::owner::What;
use crate::run_dir::{leave_storage_started, storage_started};
use crate::tree::runtime_config::RuntimeConfig;

/// Why the disks do not agree; `None`: they do.
pub(super) async fn kept_by_disks(machine: &Machine, published: &RuntimeConfig) -> Option<Answer> {
    let host = &machine.host;
    let kept = match machine.what {
        What::Storage => {
            let is_early = machine.run_dir.is_some() && Instant::now() < machine.disks_come_until;
            machine.disks.members(published).await.map(|arrays| disks::storage(host, &arrays, is_early))
        }
        What::Compute => {
            machine.disks.running().await.map(|(look, mounts)| disks::compute(published, &look, &mounts))
        }
    };
    match kept {
        Ok(None) => None,
        Ok(Some(Kept::Taken { why, next })) => Some(Answer::NotMine { why, next }),
        Ok(Some(Kept::NotReady { why, next })) => Some(Answer::NotReady { why, next }),
        Ok(Some(Kept::CannotTell { why, next })) => Some(Answer::CannotTell { why, next }),
        Err(why) => Some(Answer::CannotTell {
            why,
            next: format!(
                "lsblk; if nobody else has its disks: nova-ha-boot-guard --override {host} --by NAME"
            ),
        }),
    }
}

/// Leaves word that this boot's storage waited for this answer: `nova-ha-runtime-info` publishes it, and a
/// takeover demands it. Not where one of the guests' arrays runs already: that one did not wait.
pub(super) async fn let_start(machine: &Machine, published: &RuntimeConfig) -> Vec<String> {
    let (What::Storage, Some(run_dir)) = (machine.what, &machine.run_dir) else { return Vec::new() };
    if storage_started(run_dir, &machine.boot_id) {
        return Vec::new();
    }
    match machine.disks.running().await {
        Ok((look, _)) => {
            let unguarded = disks::running_already(published, &look);
            if !unguarded.is_empty() {
                return unguarded;
            }
            if let Err(error) = leave_storage_started(run_dir, &machine.boot_id) {
                tracing::warn!(
                    error = error.with_cause(),
                    "cannot leave word that the storage was let start"
                );
            }
        }
        Err(why) => tracing::warn!(why, "no word is left that the storage was let start"),
    }
    Vec::new()
}
