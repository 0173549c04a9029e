//! For how long this machine has seen one and the same record, by its boot clock: what a probe left that does not run any
//! more, told from one that is only late.

use std::path::Path;
use std::time::Duration;

use super::witness::Witness;
use crate::judge::freshness::Life;
use crate::own_files;

/// Since this machine, in this boot, first saw the record with this index. What cannot be remembered is new: it counts.
pub(super) fn unchanged_for(witness: &Witness<'_>, key: &str, index: u64) -> Duration {
    since(&witness.run_dir, &format!("unchanged/{}", key.replace('/', "+")), index, &witness.life())
}

fn since(run_dir: &Path, file: &str, index: u64, life: &Life) -> Duration {
    if let Some(seen) = remembered(run_dir, file, index, life) {
        return life.boottime.saturating_sub(seen);
    }
    let text = format!("{index} {} {}\n", life.boot_id, life.boottime.as_millis());
    if let Err(error) = own_files::rewrite(run_dir, file, &text) {
        tracing::debug!(error = error.with_cause(), "cannot remember when a record was first seen");
    }
    Duration::ZERO
}

fn remembered(run_dir: &Path, file: &str, index: u64, life: &Life) -> Option<Duration> {
    let text = own_files::text(run_dir, file)?;
    let mut words = text.split_ascii_whitespace();
    let same = words.next()? == index.to_string() && words.next()? == life.boot_id;
    let seen = Duration::from_millis(words.next()?.parse().ok()?);
    (same && seen <= life.boottime).then_some(seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_old_only_when_this_very_machine_has_seen_it_unchanged_for_so_long() {
        let folder = tempfile::tempdir().unwrap();
        let at =
            |boot_id: &str, second| Life { boot_id: boot_id.into(), boottime: Duration::from_secs(second) };
        let seconds = |index, life: Life| since(folder.path(), "a/b", index, &life).as_secs();
        assert_eq!(seconds(7, at("a", 100)), 0);
        assert_eq!(seconds(7, at("a", 1_100)), 1_000);
        assert_eq!(seconds(8, at("a", 1_200)), 0, "it was written again");
        assert_eq!(seconds(8, at("b", 5_000)), 0, "another boot");
        assert_eq!(seconds(8, at("b", 5_010)), 10);
        assert_eq!(seconds(8, at("b", 4_000)), 0, "a boot clock never goes back");
        std::fs::write(folder.path().join("a/b"), "8 b soon").unwrap();
        assert_eq!(seconds(8, at("b", 6_000)), 0);
    }
}
