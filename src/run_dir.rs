//! Where what we keep on this machine lies, until its next boot and beyond: each user that runs ours has a folder of his own, so that nobody
//! reads, follows or locks what another one left.
//!
//! `/run/nova-ha` is root's: the recovery, the boot guard, and what root types. `/run/nova-ha-monitor` is the user's as whom
//! Consul runs its checks, where that is not root: what probes saw, and since when `mark-failed` knows what.

use std::path::{Path, PathBuf};

use rustix::process::geteuid;

use crate::own_files::{self, OwnFileError};

/// Root's, and everybody's who recovers: there is one lock for it.
pub const ROOTS: &str = "/run/nova-ha";
/// Of the user as whom Consul runs probes and `mark-failed`, where that is not root.
const MONITORS: &str = "/run/nova-ha-monitor";

/// What outlasts boots: root's takeovers, and what root's probes saw first.
const ROOTS_STATE: &str = "/var/lib/nova-ha";
/// The same of the user as whom Consul runs probes, where that is not root.
const MONITORS_STATE: &str = "/var/lib/nova-ha-monitor";

/// Where probes of this user keep what outlasts boots.
pub fn state_of_the_monitor() -> PathBuf {
    let is_root = geteuid().is_root();
    PathBuf::from(if is_root { ROOTS_STATE } else { MONITORS_STATE })
}

/// Where probes and judgements of this user leave what they remember.
pub fn of_the_monitor() -> PathBuf {
    choose(geteuid().as_raw(), Path::new(ROOTS), Path::new(MONITORS))
}

/// Where nobody made the monitor's folder, one of root's that was given to this user goes on, as before there were two.
fn choose(me: u32, roots: &Path, monitors: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt;
    let is_mine = |path: &Path| path.symlink_metadata().is_ok_and(|is| is.is_dir() && is.uid() == me);
    match me {
        0 => roots.to_owned(),
        _ if monitors.symlink_metadata().is_err() && is_mine(roots) => roots.to_owned(),
        _ => monitors.to_owned(),
    }
}

/// Where `nova-ha-boot-guard --for storage` leaves the id of the boot in which it let the guests' storage start.
const STORAGE: &str = "boot-guard/storage";

/// Leaves word that the boot guard let this boot's guest storage start.
///
/// # Errors
/// The folder cannot be written, or is not root's.
pub fn leave_storage_started(run_dir: &Path, boot_id: &str) -> Result<(), OwnFileError> {
    own_files::write_whole(run_dir, STORAGE, &format!("{boot_id}\n"))
}

/// Whether the boot guard did so in this boot. What cannot be read, or is of another boot (a folder that is
/// no tmpfs), is a *no*: it only costs the host its takeover until the guard has run.
pub fn storage_started(run_dir: &Path, boot_id: &str) -> bool {
    own_files::text(run_dir, STORAGE).is_some_and(|text| text.trim() == boot_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_a_folder_of_his_own_and_one_that_was_given_to_him_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (roots, monitors) = (folder.path().join("nova-ha"), folder.path().join("nova-ha-monitor"));
        std::fs::create_dir(&roots).unwrap();
        let owner = geteuid().as_raw();
        assert_eq!(choose(0, &roots, &monitors), roots);
        assert_eq!(
            choose(owner.max(1), &roots, &monitors),
            if owner == 0 { &monitors } else { &roots }.clone()
        );
        std::os::unix::fs::symlink("/", &monitors).unwrap();
        assert_eq!(
            choose(owner.max(1), &roots, &monitors),
            monitors,
            "it is refused when it is opened, not passed by"
        );
    }
}
