//! Whose a folder or file must be, and who may write it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::Stat;
use rustix::process::{getegid, geteuid};

use super::error::OwnFileError;

const GROUP_WRITES: u32 = 0o020;
const OTHERS_WRITE: u32 = 0o002;
const PERMISSIONS: u32 = 0o7777;

/// Who runs this.
#[derive(Debug, Clone, Copy)]
pub(super) struct Me {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Me {
    pub(super) fn now() -> Self {
        Self { uid: geteuid().as_raw(), gid: getegid().as_raw() }
    }

    fn name(self) -> String {
        match self.uid {
            0 => "root".to_owned(),
            uid => uid.to_string(),
        }
    }

    fn is_mine(self, uid: u32) -> bool {
        uid == 0 || uid == self.uid
    }
}

/// A folder or a file is ours: owner and mode.
pub(super) fn look(is: &Stat, path: &Path, me: Me) -> Result<(), OwnFileError> {
    owner(is, path, me)?;
    let mode = is.st_mode & PERMISSIONS;
    let by_a_group = mode & GROUP_WRITES != 0;
    // Root's group is root. That of another user is his own on most systems (a umask of 002), and root never trusts it.
    let a_known_group = is.st_gid == 0 || (me.uid != 0 && is.st_gid == me.gid);
    if mode & OTHERS_WRITE != 0 || (by_a_group && !a_known_group) {
        return Err(OwnFileError::Writable { path: path.to_owned(), mode });
    }
    if by_a_group {
        warn_once(path, &format!("its group may write it ({mode:04o}): chmod g-w {}", path.display()));
    }
    Ok(())
}

pub(super) fn owner(is: &Stat, path: &Path, me: Me) -> Result<(), OwnFileError> {
    match is.st_uid {
        uid if me.is_mine(uid) => Ok(()),
        uid => Err(OwnFileError::Owner { path: path.to_owned(), uid, owner: me.name() }),
    }
}

/// Whether a link in place of the whole folder can only be root's own doing (or that of who runs this): it is theirs, and
/// so is the folder that it is in, which nobody else may write.
pub(super) fn is_roots_own_link(path: &Path, me: Me) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(link), Some(parent)) = (path.symlink_metadata(), path.parent()) else { return false };
    let Ok(parent) = parent.metadata() else { return false };
    let only_ours = me.is_mine(parent.uid()) && parent.mode() & (GROUP_WRITES | OTHERS_WRITE) == 0;
    let roots = link.is_symlink() && me.is_mine(link.uid()) && only_ours;
    if roots {
        warn_once(
            path,
            &format!("it is a link: mount --bind, or name the folder itself, in place of {}", path.display()),
        );
    }
    roots
}

/// Each executable says it once.
fn warn_once(path: &Path, why: &str) {
    static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned()) {
        tracing::warn!(path = %path.display(), "a folder of ours is used as before, though {why}");
    }
}
