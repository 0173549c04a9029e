//! One `recover` per HA node: a file lock of the kernel's, gone with its process.
//!
//! It also proves that an earlier process of this HA node is gone, which is what allows resuming at
//! once, without the lock-delay.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

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
        let path = run_dir.join("recover.lock");
        let fail = |source| SingleError::File { path: path.clone(), source };
        std::fs::create_dir_all(run_dir).map_err(fail)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
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
