//! One `recover` per HA node: a file lock of the kernel's, gone with its process.
//!
//! It also proves that an earlier process of this HA node is gone, which is what allows resuming at
//! once, without the lock-delay.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::own_files::{Folder, OwnFileError};

/// In the run folder of root, and named so since the first version: during an upgrade the old executable and the new one
/// lock each other out.
const FILE: &str = "recover.lock";

/// The lock; held until dropped.
pub struct Single {
    _file: File,
}

/// Why the lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SingleError {
    /// Another `recover` of this HA node runs; it looks for work again before it ends.
    #[error("another nova-ha-recover runs here (pid {pid})")]
    Busy {
        /// As it wrote it.
        pid: String,
    },
    /// It, or its folder, is not ours, or cannot be used.
    #[error("cannot lock out another nova-ha-recover of this HA node")]
    Place {
        /// The cause, with the command that puts it right.
        source: OwnFileError,
    },
    /// The file cannot be used.
    #[error("cannot lock {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

impl Single {
    /// Takes the lock, or says who has it.
    pub fn take(run_dir: &Path) -> Result<Self, SingleError> {
        let path = run_dir.join(FILE);
        let fail = |source| SingleError::File { path: path.clone(), source };
        let folder = Folder::make(run_dir).map_err(|source| SingleError::Place { source })?;
        let mut file = folder.to_lock(FILE).map_err(|source| SingleError::Place { source })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                // The number is for people only.
                let _unread = Read::by_ref(&mut file).take(32).read_to_string(&mut pid);
                return Err(SingleError::Busy { pid: pid.trim().to_owned() });
            }
            Err(error) => return Err(fail(error.into())),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
        writeln!(file, "{}", std::process::id()).map_err(fail)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn one_of_an_earlier_version_and_one_of_this_lock_each_other_out() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = || {
            let path = folder.path().join("recover.lock");
            let open =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).unwrap();
            (flock(&open, FlockOperation::NonBlockingLockExclusive).is_ok(), open)
        };
        let (taken, held) = earlier();
        assert!(taken && matches!(Single::take(folder.path()), Err(SingleError::Busy { .. })));
        drop(held);
        let ours = Single::take(folder.path()).unwrap();
        assert!(!earlier().0);
        drop(ours);
        assert!(earlier().0);
    }

    #[test]
    fn a_link_in_place_of_the_lock_is_refused_and_what_it_leads_to_keeps_every_byte() {
        let folder = tempfile::tempdir().unwrap();
        let (run, precious) = (folder.path().join("run"), folder.path().join("precious"));
        std::fs::create_dir(&run).unwrap();
        std::fs::write(&precious, "secret\n").unwrap();
        symlink(&precious, run.join("recover.lock")).unwrap();
        let Err(error) = Single::take(&run) else { panic!("it was locked") };
        let said = crate::chain::chain(&error);
        assert!(
            said.contains(&format!("is not followed: rm {}", run.join("recover.lock").display())),
            "{said}"
        );
        assert_eq!(std::fs::read_to_string(precious).unwrap(), "secret\n");
    }
}
