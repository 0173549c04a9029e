//! Marks on this machine that last until its next boot (`/run/nova-ha`).
//!
//! `seen/HOST` (`seen-peers/NAME` for an HA node) holds `EPOCH BOOT_ID` of the first healthy result
//! of this boot: an observer that has just started may not vote on a host that it never saw alive.
//! `leader-lost` holds the boot id and the boot clock at which Consul had no leader; `mark-failed`
//! turns it into a cool-down, as nothing can be written while there is no leader.

use std::io;
use std::path::PathBuf;

use super::args::Machine;
use crate::names::Epoch;
use crate::run_dir::write_whole;

/// Name of the mark of a lost leader.
pub const LEADER_LOST: &str = "leader-lost";

/// The folder of the marks.
#[derive(Debug, Clone)]
pub struct RunDir {
    root: PathBuf,
}

impl RunDir {
    /// At this folder, which is made when the first mark is.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn seen(&self, machine: &Machine) -> PathBuf {
        match machine {
            Machine::Host(name) => self.root.join("seen").join(name.as_str()),
            Machine::Peer(name) => self.root.join("seen-peers").join(name.as_str()),
        }
    }

    /// Whether this observer saw the machine healthy in this boot. A mark that cannot be read, or
    /// that an earlier boot left (a folder that is no tmpfs), is a *no*: it only costs a vote.
    pub fn has_seen(&self, machine: &Machine, boot_id: &str) -> bool {
        let text = std::fs::read_to_string(self.seen(machine)).unwrap_or_default();
        text.split_ascii_whitespace().nth(1) == Some(boot_id)
    }

    /// Leaves the mark of a healthy machine, once per boot and epoch.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn saw(&self, machine: &Machine, epoch: Epoch, boot_id: &str) -> io::Result<()> {
        let path = self.seen(machine);
        let text = format!("{epoch} {boot_id}\n");
        if std::fs::read_to_string(&path).is_ok_and(|present| present == text) {
            return Ok(());
        }
        write_whole(&path, &text)
    }

    /// Leaves the mark of a lost leader.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn leader_lost(&self, boot_id: &str, boottime_ms: u64) -> io::Result<()> {
        write_whole(&self.root.join(LEADER_LOST), &format!("{boot_id} {boottime_ms}\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_of_an_earlier_boot_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::at(folder.path().join("nova-ha"));
        let host = Machine::Host("node1".parse().unwrap());
        assert!(!run.has_seen(&host, "boot-a"));
        run.saw(&host, Epoch(2), "boot-a").unwrap();
        assert!(run.has_seen(&host, "boot-a"));
        assert!(!run.has_seen(&host, "boot-b"));
        assert!(!run.has_seen(&Machine::Peer("node1".parse().unwrap()), "boot-a"));
        assert!(!run.has_seen(&Machine::Host("node10".parse().unwrap()), "boot-a"));
    }
}
