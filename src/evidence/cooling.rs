//! How much of a cool-down is left, by a clock that nobody can set.
//!
//! The record says when it began by the wall clock of another machine, and a judge whose own wall
//! clock is ahead would find it over at once. So each machine counts the whole length by its boot
//! clock from when it first saw this very record: that is never before the record was written, so
//! no clock can shorten a cool-down. Whoever has counted to the end removes the record, so that a
//! machine which begins late (a reboot, a first run by hand) is not held up by one that is history.

use std::path::Path;
use std::time::Duration;

use crate::judge::freshness::Life;
use crate::judge::scene::Cooling;
use crate::own_files;
use crate::tree::cooldown::Cooldown;

/// `INDEX BOOT_ID BOOTTIME_MS` of the first look at a cool-down.
const FILE: &str = "cooldown";

/// What is left of a record at this index of Consul's. Where nothing can be remembered it begins at
/// each look anew: longer, never shorter.
pub fn cooling(run_dir: &Path, cooldown: Cooldown, index: u64, life: &Life) -> Cooling {
    let first_seen = remembered(run_dir, index, life).unwrap_or_else(|| {
        let text = format!("{index} {} {}\n", life.boot_id, life.boottime.as_millis());
        if let Err(error) = own_files::write_whole(run_dir, FILE, &text) {
            tracing::warn!(
                error = error.with_cause(),
                "a cool-down cannot be counted here: it does not end on this machine"
            );
        }
        life.boottime
    });
    let passed = life.boottime.saturating_sub(first_seen);
    Cooling { cause: cooldown.cause, left: Duration::from_secs(cooldown.seconds).saturating_sub(passed) }
}

/// The boot clock at the first look, if it was in this boot and at this record.
fn remembered(run_dir: &Path, index: u64, life: &Life) -> Option<Duration> {
    let text = own_files::text(run_dir, FILE)?;
    let mut words = text.split_ascii_whitespace();
    let same = words.next()?.parse() == Ok(index) && words.next()? == life.boot_id;
    let first_seen = Duration::from_millis(words.next()?.parse().ok()?);
    (same && first_seen <= life.boottime).then_some(first_seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::cooldown::Cause;

    fn left(run_dir: &Path, index: u64, boot: &str, at: u64) -> u64 {
        let record =
            Cooldown { version: 1, cause: Cause::LeaderLost, began_at: jiff::Timestamp::MIN, seconds: 900 };
        let life = Life { boot_id: boot.into(), boottime: Duration::from_secs(at) };
        cooling(run_dir, record, index, &life).left.as_secs()
    }

    #[test]
    fn the_whole_length_is_counted_from_the_first_look_whatever_the_wall_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path().join("nova-ha");
        assert_eq!(left(&run_dir, 7, "a", 5000), 900);
        assert_eq!(left(&run_dir, 7, "a", 5899), 1);
        assert_eq!(left(&run_dir, 7, "a", 5900), 0);
        assert_eq!(left(&run_dir, 7, "a", u64::from(u32::MAX)), 0);
    }

    #[test]
    fn another_record_another_boot_or_a_spoilt_file_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        let run_dir = folder.path();
        assert_eq!(left(run_dir, 7, "a", 5000), 900);
        assert_eq!(left(run_dir, 8, "a", 5600), 900, "written anew: a storm that goes on");
        assert_eq!(left(run_dir, 8, "b", 5700), 900, "rebooted");
        assert_eq!(left(run_dir, 8, "b", 10), 900, "a boot clock never goes back: not this boot's");
        for spoilt in ["", "8", "8 b", "8 b soon", "\u{0}"] {
            std::fs::write(run_dir.join(FILE), spoilt).unwrap();
            assert_eq!(left(run_dir, 8, "b", 9000), 900, "{spoilt:?}");
        }
        std::fs::remove_file(run_dir.join(FILE)).unwrap();
        std::fs::create_dir(run_dir.join(FILE)).unwrap();
        assert_eq!(left(run_dir, 8, "b", 20_000), 900, "what cannot be remembered does not end");
    }
}
