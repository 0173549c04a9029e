//! Absences of Consul's leader, as this machine met them, remembered until its next boot.
//!
//! An agent that starts, and a minority of servers that was cut off, see no leader either, and nobody can tell them from a
//! cluster that lost it. So an absence silences the one who met it and nobody else: it is to its votes what an own start
//! is (see [`crate::judge::votes`]). Where the whole cluster had no leader every HA node met it, and all are silent.

use std::path::Path;
use std::time::Duration;

use crate::own_files::{self, OwnFileError};

/// An election takes a few seconds (Consul's own words: 5 to 10 s with its default timing); what lasts longer is an
/// absence.
const LONGER_THAN_AN_ELECTION: Duration = Duration::from_secs(10);

/// Meetings that are no further apart are of one absence. Above the pause between two runs of a probe.
const OF_ONE_ABSENCE: Duration = Duration::from_secs(60);

/// What the file holds, in milliseconds of the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Met {
    first: u64,
    last: u64,
    /// When the last absence that was longer than an election was met for the last time.
    absent: Option<u64>,
}

const FILE: &str = "leader-lost";

/// What was met in this boot. What cannot be read, or is of another boot, is nothing: an own start silences as well.
fn read(run_dir: &Path, boot_id: &str) -> Option<Met> {
    let text = own_files::text(run_dir, FILE)?;
    let mut words = text.split_ascii_whitespace();
    if words.next()? != boot_id {
        return None;
    }
    let mut number = || words.next()?.parse().ok();
    Some(Met { first: number()?, last: number()?, absent: number() })
}

/// Remembers that Consul had no leader now, by the boot clock.
///
/// # Errors
/// The folder cannot be written.
pub fn met(run_dir: &Path, boot_id: &str, now: Duration) -> Result<(), OwnFileError> {
    let now = milliseconds(now);
    let before = read(run_dir, boot_id);
    let apart = milliseconds(OF_ONE_ABSENCE);
    let first = before.filter(|b| now.saturating_sub(b.last) <= apart).map_or(now, |b| b.first);
    let is_long = now.saturating_sub(first) >= milliseconds(LONGER_THAN_AN_ELECTION);
    let absent = if is_long { Some(now) } else { before.and_then(|b| b.absent) };
    let absent = absent.map_or_else(String::new, |at| format!(" {at}"));
    own_files::rewrite(run_dir, FILE, &format!("{boot_id} {first} {now}{absent}\n"))
}

/// When an absence that was longer than an election was met for the last time, in milliseconds of this boot's clock.
pub fn last_absence(run_dir: &Path, boot_id: &str) -> Option<u64> {
    read(run_dir, boot_id)?.absent
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Met at these seconds of the boot clock.
    fn absent_after(seconds: &[u64]) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("nova-ha");
        for at in seconds {
            met(&run_dir, "a", Duration::from_secs(*at)).unwrap();
        }
        last_absence(&run_dir, "a").map(|ms| ms / 1000)
    }

    #[test]
    fn an_election_is_no_absence_and_what_lasts_longer_is_until_it_was_met_last() {
        assert_eq!(absent_after(&[]), None);
        assert_eq!(absent_after(&[100]), None, "one answer of an agent that starts");
        assert_eq!(absent_after(&[100, 105, 109]), None);
        assert_eq!(absent_after(&[100, 105, 110]), Some(110));
        assert_eq!(absent_after(&[100, 150, 200]), Some(200));
        assert_eq!(absent_after(&[100, 161]), None, "two elections with a minute between them");
        assert_eq!(absent_after(&[100, 110, 900, 905]), Some(110), "a short one since changes nothing");
    }

    #[test]
    fn what_was_met_in_another_boot_or_cannot_be_read_is_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path();
        met(run_dir, "a", Duration::from_secs(100)).unwrap();
        met(run_dir, "a", Duration::from_secs(120)).unwrap();
        assert_eq!((last_absence(run_dir, "a"), last_absence(run_dir, "b")), (Some(120_000), None));
        met(run_dir, "b", Duration::from_secs(130)).unwrap();
        assert_eq!(last_absence(run_dir, "b"), None);
        for spoilt in ["", "b", "b 1", "b 1 soon", "b 5000"] {
            std::fs::write(run_dir.join(FILE), spoilt).unwrap();
            assert_eq!(last_absence(run_dir, "b"), None, "{spoilt:?}");
        }
    }
}
