//! The files that we keep on this machine, below `/run/nova-ha` and `/var/lib/nova-ha` (and
//! `-monitor`, of Consul's user): nobody else
//! may have put them there, and nothing that somebody put there leads us elsewhere.
//!
//! Every file of ours is opened here: its folder and it itself must belong to root or to the user that runs this, nobody
//! else may write them, and no link is followed to them. What others may write is refused with the command that puts it
//! right: a lock that others may remove locks nothing, and a memory that others may change remembers nothing.
//!
//! Two things were accepted before and go on, with a warning: a folder that root's group, or the group of a user that is
//! not root, may write; and a link that root put in place of the whole folder, in a folder that only root may write
//! (a `/var/lib/nova-ha` that was moved to a larger disk). See docs/decisions/0046.

mod error;
mod folder;
mod rules;

use std::path::Path;

pub use error::OwnFileError;
pub use folder::{Folder, Lasts, ReadBy};

/// Reads `NAME` or `FOLDER/NAME` below `root`; `None`: it is not there.
///
/// # Errors
/// It cannot be read, or is not ours.
pub fn read(root: &Path, file: &str) -> Result<Option<Vec<u8>>, OwnFileError> {
    let (sub, name) = split(file);
    match Folder::open(root)? {
        None => Ok(None),
        Some(folder) => match folder.within(sub)? {
            None => Ok(None),
            Some(folder) => folder.read(name),
        },
    }
}

/// As [`read`], for texts of which one that cannot be read is none.
pub fn text(root: &Path, file: &str) -> Option<String> {
    match read(root, file) {
        Ok(bytes) => String::from_utf8(bytes?).ok(),
        Err(error) => {
            tracing::debug!(%error, "a file of ours is not read");
            None
        }
    }
}

/// Writes `NAME` or `FOLDER/NAME` whole or not at all: another executable may be reading or writing it. It is on the disk
/// when this returns: a file that was only renamed is empty after a power cut, and what a host remembers must outlast that.
///
/// # Errors
/// The folder cannot be made or written, or is not ours.
pub fn write_whole(root: &Path, file: &str, text: &str) -> Result<(), OwnFileError> {
    write(root, file, text, Lasts::OverPowerCuts, ReadBy::Owner)
}

/// As [`write_whole`], for what a power cut may take: nothing is waited for until it is on a disk.
///
/// # Errors
/// As [`write_whole`].
pub fn rewrite(root: &Path, file: &str, text: &str) -> Result<(), OwnFileError> {
    write(root, file, text, Lasts::WhileItRuns, ReadBy::Owner)
}

/// As [`rewrite`], for what every user of this machine may read.
///
/// # Errors
/// As [`write_whole`].
pub fn publish(root: &Path, file: &str, text: &str) -> Result<(), OwnFileError> {
    write(root, file, text, Lasts::WhileItRuns, ReadBy::Everybody)
}

fn write(root: &Path, file: &str, text: &str, lasts: Lasts, read_by: ReadBy) -> Result<(), OwnFileError> {
    let (sub, name) = split(file);
    Folder::make(root)?.make_within(sub)?.write(name, text.as_bytes(), lasts, read_by)
}

/// The folder below the root, if there is one, and the name.
fn split(file: &str) -> (Option<&str>, &str) {
    file.rsplit_once('/').map_or((None, file), |(folder, name)| (Some(folder), name))
}

#[cfg(test)]
mod tests;
