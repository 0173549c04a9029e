//! The md arrays and mounts of this machine: what [`Arrays`] is in earnest.
//!
//! Programs: mdadm, mount, umount, and udevadm where udev runs. None reads mdadm.conf, or names a device that was not
//! looked at just before; mdadm gets `--force` only for members that an order names as older. A program that is stuck in the kernel is left behind at its
//! deadline, and a disk that hangs keeps one thread.
//!
//! Start at `command` (what is run) and `node` (which device a member is).

mod command;
mod look;
mod node;
mod others;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use self::others::Others;
use super::arrays::{Arrays, Assembly, Question, Seen};
use crate::chain::chain;
use crate::disks::places::Place;
use crate::disks::{Roots, md, running};
use crate::fence::PoweredOff;
use crate::may_hang::MayHang;
use crate::program::Program;

/// How often an array is asked to stop: mdadm soon gives up where something has it open, and udev looks at each
/// array that is new or was closed after writing. With the pause some 4 s, of the 20 s at most that an attempt has.
const STOP_TRIES: u32 = 8;

/// Between two of them.
const STOP_PAUSE: Duration = Duration::from_millis(500);

/// Udev is waited for only where an array could not be stopped: it has a new one and its members open while it looks
/// at them. Nothing of that is in the way of an assembly or a mount, and udev can take as long as mdadm. Whatever else
/// is in its queue must not cost the attempt, which has 20 s at most.
const SETTLE_WITHIN: Duration = Duration::from_secs(3);

/// What a takeover and giving back cannot do without.
const PROGRAMS: [&str; 3] = ["mdadm", "mount", "umount"];

/// This machine's.
#[derive(Debug, Clone, Default)]
pub struct LocalArrays {
    roots: Roots,
    disks: MayHang,
    others: Others,
}

impl LocalArrays {
    /// Below these folders.
    pub fn at(roots: Roots) -> Self {
        Self { roots, disks: MayHang::default(), others: Others::default() }
    }
}

#[async_trait]
impl Arrays for LocalArrays {
    async fn look(&self, question: &Question) -> Result<Seen, String> {
        let (roots, others, asked) = (self.roots.clone(), self.others.clone(), question.clone());
        self.on_disks(question.within, move || look::look(&roots, &others, &asked)).await
    }

    async fn is_able(&self, order: &Assembly, within: Duration) -> Result<(), String> {
        for program in PROGRAMS {
            Program::named(program, within).map_err(|error| chain(&error))?;
        }
        self.nodes(&order.uuid, &order.members, Instant::now() + within).await.map(drop)
    }

    async fn assemble(&self, order: &Assembly, _off: &PoweredOff, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let nodes = self.nodes(&order.uuid, &order.members, deadline).await?;
        let args = command::assemble(&order.uuid, order.start, &order.how, &nodes)?;
        command::run("mdadm", &args, left(deadline)).await
    }

    async fn rename(
        &self,
        uuid: &str,
        members: &BTreeSet<Place>,
        name: &str,
        within: Duration,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let nodes = self.nodes(uuid, members, deadline).await?;
        command::run("mdadm", &command::rename(uuid, name, &nodes)?, left(deadline)).await
    }

    async fn stop(&self, device: &str, uuid: &str, within: Duration) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let mut tries = 0;
        loop {
            if !self.may_stop(device, uuid, deadline).await? {
                return Ok(());
            }
            let node = self.roots.node(device);
            let Err(why) = command::run("mdadm", &command::stop(&node), left(deadline)).await else {
                return Ok(());
            };
            tries += 1;
            if tries == STOP_TRIES || left(deadline) <= STOP_PAUSE {
                return Err(why);
            }
            self.settle(deadline).await;
            tokio::time::sleep(STOP_PAUSE.min(left(deadline))).await;
        }
    }

    async fn mount(
        &self,
        device: &str,
        fs_type: &str,
        at: &Path,
        _off: &PoweredOff,
        within: Duration,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let place = at.to_owned();
        self.on_disks(within, move || look::is_a_directory(&place)).await?;
        command::run("mount", &command::mount(&self.roots.node(device), fs_type, at)?, left(deadline)).await
    }

    async fn unmount(&self, at: &Path, within: Duration) -> Result<(), String> {
        command::run("umount", &command::unmount(at)?, within).await
    }
}

impl LocalArrays {
    /// What a disk that hangs would hold up.
    async fn on_disks<T: Send + 'static>(
        &self,
        within: Duration,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let done = self.disks.run(within, work).await?;
        done.unwrap_or_else(|| Err(format!("the disks did not answer within {within:?}")))
    }

    async fn nodes(
        &self,
        uuid: &str,
        members: &BTreeSet<Place>,
        deadline: Instant,
    ) -> Result<Vec<PathBuf>, String> {
        let (roots, uuid, members) = (self.roots.clone(), uuid.to_owned(), members.clone());
        self.on_disks(left(deadline), move || node::nodes(&roots, &uuid, &members)).await
    }

    /// Whether there is something to stop. `Err`: it is another one, or in use.
    async fn may_stop(&self, device: &str, uuid: &str, deadline: Instant) -> Result<bool, String> {
        let (roots, device, uuid) = (self.roots.clone(), device.to_owned(), uuid.to_owned());
        self.on_disks(left(deadline), move || {
            let unread = |error: std::io::Error| format!("{device}: {error}");
            let look = running::look(&roots).map_err(|error| format!("block devices: {error}"))?;
            if let Some((_, why)) = look.unread.iter().find(|(name, _)| *name == device) {
                return Err(format!("{device} cannot be read: {why}"));
            }
            let Some(found) = look.arrays.iter().find(|found| found.array.device == device) else {
                return Ok(false);
            };
            match &found.array.uuid {
                Some(now) if *now == uuid => {}
                Some(now) => return Err(format!("{device} is another array now: {now}, not {uuid}")),
                None => return Err(format!("{device} does not say which array it is")),
            }
            let over = md::devices_over(&roots, &device).map_err(unread)?;
            let mounts = running::mounts(&roots)?;
            match mounts.iter().find(|mount| over.iter().any(|(_, number)| *number == mount.device)) {
                Some(mount) => Err(format!("{device} is mounted at {}", mount.mountpoint)),
                None => Ok(true),
            }
        })
        .await
    }

    /// Waits until udev has looked at what is new, where it runs.
    async fn settle(&self, deadline: Instant) {
        // Its control socket is beside its database.
        let Some(control) = self.roots.udev.parent().map(|folder| folder.join("control")) else { return };
        if !control.exists() {
            return;
        }
        let within = left(deadline).min(SETTLE_WITHIN);
        if let Err(why) = command::run("udevadm", &command::settle(within), within).await {
            tracing::debug!(why, "udev is still busy");
        }
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

#[cfg(test)]
mod tests;
