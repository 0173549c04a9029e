//! What root's last run on this machine said, for a Consul check of a user who may not read what root reads.
//!
//! The check publishes nothing and has no token: it shows a line that root left, and whether root's timer still comes.

use std::path::Path;
use std::time::Duration;

use super::publish::Report;
use crate::exit::probe::{PASSING, WARNING};
use crate::own_files::{self, OwnFileError};

/// `BOOT_ID BOOTTIME_MS EXIT LINE`.
const FILE: &str = "runtime-info";

/// Three runs of nova-ha-runtime-info.timer, with the time that each takes.
const LATE: Duration = Duration::from_secs(16 * 60);

/// Leaves word of a run, for every user of this machine.
///
/// # Errors
/// The folder is not this user's.
pub fn leave(run_dir: &Path, report: &Report, boot_id: &str, now: Duration) -> Result<(), OwnFileError> {
    let text = format!("{boot_id} {} {} {}\n", now.as_millis(), report.exit, report.line);
    own_files::publish(run_dir, FILE, &text)
}

/// What the last run of this boot said. Silence is no *passing*.
pub fn said(run_dir: &Path, host: &str, boot_id: &str, now: Duration) -> Report {
    const NEXT: &str = "as root: systemctl status nova-ha-runtime-info.timer";
    let silent =
        |why: &str| Report { exit: WARNING, line: format!("WARNING {host}: {why}; {NEXT}"), document: None };
    let bytes = match own_files::read(run_dir, FILE) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return silent("nobody has published its runtime info in this boot"),
        Err(error) => return silent(&error.with_cause()),
    };
    let text = String::from_utf8_lossy(&bytes);
    let mut words = text.trim_end().splitn(4, ' ');
    let is_of_this_boot = words.next() == Some(boot_id);
    let at = words.next().and_then(|word| word.parse().ok()).map(Duration::from_millis);
    let exit = words.next().and_then(|word| word.parse().ok());
    let (Some(at), Some(exit @ (PASSING | WARNING)), Some(line)) = (at, exit, words.next()) else {
        return silent("what the last run left cannot be understood");
    };
    if !is_of_this_boot {
        return silent("nobody has published its runtime info in this boot");
    }
    match now.checked_sub(at) {
        Some(age) if age <= LATE => Report { exit, line: line.to_owned(), document: None },
        Some(_) | None => silent("its runtime info was last published more than 16 min ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_said_last_is_shown_and_silence_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        let shown = |boot: &str, at| {
            let report = said(folder.path(), "node1", boot, minutes(at));
            (report.exit, report.line)
        };
        let silent = |why: &str| {
            (WARNING, format!("WARNING node1: {why}; as root: systemctl status nova-ha-runtime-info.timer"))
        };
        assert_eq!(shown("a", 1), silent("nobody has published its runtime info in this boot"));
        for (exit, line) in
            [(PASSING, "OK node1: runtime info unchanged"), (WARNING, "WARNING node1: x, but y")]
        {
            let report = Report { exit, line: line.into(), document: None };
            leave(folder.path(), &report, "a", minutes(5)).unwrap();
            assert_eq!(shown("a", 21), (exit, line.to_owned()));
        }
        assert_eq!(shown("a", 22), silent("its runtime info was last published more than 16 min ago"));
        assert_eq!(shown("a", 4), silent("its runtime info was last published more than 16 min ago"));
        assert_eq!(shown("b", 6), silent("nobody has published its runtime info in this boot"));
        for spoilt in ["", "a", "a 1 0", "a 1 2 critical is nobody's to say", "a soon 0 x"] {
            std::fs::write(folder.path().join(FILE), spoilt).unwrap();
            assert_eq!(shown("a", 6), silent("what the last run left cannot be understood"), "{spoilt:?}");
        }
    }
}
