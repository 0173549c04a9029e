//! Which version of an observer's record all HA nodes read, as this machine's last judgement found it.
//!
//! A probe reads three keys of one machine and may not read what the HA nodes published. `mark-failed` does at each look, and
//! leaves the answer in the run folder. Where there is none yet, nothing new is written.

use std::path::Path;

use crate::own_files::{self, OwnFileError};
use crate::tree::formats::{Formats, Kind};

/// The version of an observer's record that has `sees_healthy` and `leaderless_ms`.
pub const HAS_ALL: u64 = 2;
/// The version that has `first_seen_key`.
pub const HAS_FIRST_SEEN: u64 = 3;

const FILE: &str = "observer-version";

/// Leaves what the HA nodes read.
///
/// # Errors
/// The folder cannot be written.
pub fn leave(run_dir: &Path, formats: &Formats) -> Result<(), OwnFileError> {
    let lowest = formats.lowest(Kind::Observer);
    match left(run_dir) == Some(lowest) {
        true => Ok(()),
        false => own_files::rewrite(run_dir, FILE, &format!("{lowest}\n")),
    }
}

/// The version in which an observer's record may be written.
pub fn observer_version(run_dir: &Path) -> u64 {
    left(run_dir).unwrap_or(Kind::Observer.baseline())
}

fn left(run_dir: &Path) -> Option<u64> {
    own_files::text(run_dir, FILE)?.trim().parse().ok()
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
        std::fs::write(run_dir.join(FILE), "soon").unwrap();
        assert_eq!(observer_version(&run_dir), 1);
    }
}
