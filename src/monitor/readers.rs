//! Which version of an observer's record all HA nodes read, as this machine's last judgement found it.
//!
//! A probe reads three keys of one machine and may not read what the HA nodes published. `mark-failed` does at each look, and
//! leaves the answer in the run folder. Where there is none yet, nothing new is written.

use std::io;
use std::path::{Path, PathBuf};

use crate::run_dir::rewrite;
use crate::tree::formats::{Formats, Kind};

/// The version of an observer's record that has `sees_healthy` and `leaderless_ms`.
pub const HAS_ALL: u64 = 2;

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("observer-version")
}

/// Leaves what the HA nodes read.
///
/// # Errors
/// The folder cannot be written.
pub fn leave(run_dir: &Path, formats: &Formats) -> io::Result<()> {
    let lowest = formats.lowest(Kind::Observer);
    match observer_version(run_dir) == lowest && path(run_dir).exists() {
        true => Ok(()),
        false => rewrite(&path(run_dir), &format!("{lowest}\n")),
    }
}

/// The version in which an observer's record may be written.
pub fn observer_version(run_dir: &Path) -> u64 {
    let text = std::fs::read_to_string(path(run_dir)).unwrap_or_default();
    text.trim().parse().unwrap_or(Kind::Observer.baseline())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_a_judgement_the_oldest_version_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("nova-ha");
        assert_eq!(observer_version(&run_dir), 1);
        leave(&run_dir, &Formats::default()).unwrap();
        assert_eq!(observer_version(&run_dir), Kind::Observer.newest());
        std::fs::write(path(&run_dir), "soon").unwrap();
        assert_eq!(observer_version(&run_dir), 1);
    }
}
