//! Marks on this machine that last until its next boot (`/run/nova-ha`).
//!
//! `seen/HOST` (`seen-peers/NAME` for an HA node) holds `EPOCH BOOT_ID BOOTTIME_MS` of the last healthy
//! result of this boot: an observer that has just started may not vote on a host that it never saw alive, and two
//! hosts that fail at once are believed only beside one that is seen healthy.

use std::path::PathBuf;

use super::args::Machine;
use crate::names::{Epoch, HostName};
use crate::own_files::{self, Folder, OwnFileError};

/// The marks of hosts.
const SEEN: &str = "seen";

/// How many marks are read for [`RunDir::healthy_hosts`].
const MOST_READ: usize = 64;

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

    fn seen(machine: &Machine) -> String {
        match machine {
            Machine::Host(name) => format!("{SEEN}/{name}"),
            Machine::Peer(name) => format!("seen-peers/{name}"),
        }
    }

    /// Whether this observer saw the machine healthy in this boot, after `since_ms` of its clock if that is given. A mark
    /// that cannot be read, or that an earlier boot left (a folder that is no tmpfs), is a *no*: it only costs a vote.
    pub fn has_seen(&self, machine: &Machine, boot_id: &str, since_ms: Option<u64>) -> bool {
        let text = own_files::text(&self.root, &Self::seen(machine)).unwrap_or_default();
        let mut words = text.split_ascii_whitespace().skip(1);
        let same_boot = words.next() == Some(boot_id);
        let at: Option<u64> = words.next().and_then(|word| word.parse().ok());
        same_boot && since_ms.is_none_or(|since| at.is_some_and(|at| at > since))
    }

    /// Leaves the mark of a healthy machine: its epoch, and this moment of this boot.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn saw(
        &self,
        machine: &Machine,
        epoch: Epoch,
        boot_id: &str,
        boottime_ms: u64,
    ) -> Result<(), OwnFileError> {
        own_files::rewrite(&self.root, &Self::seen(machine), &format!("{epoch} {boot_id} {boottime_ms}\n"))
    }

    /// Hosts seen healthy in this boot since then, by name. Of the first `MOST_READ` only: a storm must not have each
    /// of a thousand failing probes read a thousand marks, and where none of so many is well nobody is believed.
    pub fn healthy_hosts(&self, boot_id: &str, since_ms: u64) -> Vec<HostName> {
        let opened = Folder::open(&self.root).ok().flatten();
        let opened = opened.and_then(|root| root.within(Some(SEEN)).ok().flatten());
        let Some(folder) = opened else { return Vec::new() };
        let all = folder.names().unwrap_or_default();
        let mut names: Vec<HostName> = all.iter().filter_map(|name| name.parse().ok()).collect();
        names.sort();
        names.truncate(MOST_READ);
        names.retain(|name| {
            let bytes = folder.read(name.as_str()).ok().flatten();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
            let mut words = text.split_ascii_whitespace().skip(1);
            let same_boot = words.next() == Some(boot_id);
            let at: Option<u64> = words.next().and_then(|word| word.parse().ok());
            same_boot && at.is_some_and(|at| at >= since_ms)
        });
        names
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
        assert!(!run.has_seen(&host, "boot-a", None));
        run.saw(&host, Epoch(2), "boot-a", 5000).unwrap();
        assert!(run.has_seen(&host, "boot-a", None));
        assert!(run.has_seen(&host, "boot-a", Some(4999)));
        assert!(!run.has_seen(&host, "boot-a", Some(5000)), "not since then");
        assert!(!run.has_seen(&host, "boot-b", None));
        assert!(!run.has_seen(&Machine::Peer("node1".parse().unwrap()), "boot-a", None));
        assert!(!run.has_seen(&Machine::Host("node10".parse().unwrap()), "boot-a", None));
    }

    #[test]
    fn hosts_seen_healthy_are_those_of_this_boot_and_of_a_moment_ago() {
        let folder = tempfile::tempdir().unwrap();
        let run = RunDir::at(folder.path().join("nova-ha"));
        assert!(run.healthy_hosts("boot-a", 0).is_empty(), "nothing was seen yet");
        for (name, boot, at) in
            [("node2", "boot-a", 5000), ("node1", "boot-a", 9000), ("node3", "boot-b", 9000)]
        {
            run.saw(&Machine::Host(name.parse().unwrap()), Epoch(0), boot, at).unwrap();
        }
        run.saw(&Machine::Peer("ha2".parse().unwrap()), Epoch(0), "boot-a", 9000).unwrap();
        std::fs::write(folder.path().join("nova-ha/seen/node4"), "0 boot-a\n").unwrap();
        let names =
            |since| run.healthy_hosts("boot-a", since).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(5000), ["node1", "node2"]);
        assert_eq!(names(5001), ["node1"]);
        assert!(names(9001).is_empty());
    }
}
