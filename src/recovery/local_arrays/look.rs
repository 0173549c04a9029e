//! One look at all that a takeover decides by. Blocks as long as the disks do.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::others::{Others, Patience};
use crate::disks::{Roots, places, running, strangers};
use crate::recovery::arrays::{Mountpoint, Question, Scope, Seen};

/// Looks.
///
/// # Errors
/// Something cannot be read without which nobody can tell.
pub(super) fn look(roots: &Roots, others: &Others, question: &Question) -> Result<Seen, String> {
    let listed = |error: std::io::Error| format!("block devices: {error}");
    // Listed once: to know who each disk is, takes most of a look's time.
    let devices = roots.devices().map_err(listed)?;
    let sights: Vec<_> =
        question.arrays.iter().map(|(_, places)| places::look_among(roots, &devices, places)).collect();
    let mut patience = Patience::default();
    let read = |name: &str| others.superblock(&roots.node(name), &mut patience);
    let strangers = match question.scope {
        Scope::All => strangers::look(&devices, &question.arrays, &sights, read),
        Scope::Members => Vec::new(),
    };
    let running = running::look(roots).map_err(listed)?;
    Ok(Seen {
        sights,
        strangers,
        running: running.arrays,
        unread: running.unread,
        mounts: running::mounts(roots)?,
        mountpoints: question.mountpoints.iter().map(|at| mountpoint(at)).collect::<Result<_, _>>()?,
    })
}

/// # Errors
/// Nobody can tell.
fn mountpoint(at: &Path) -> Result<Mountpoint, String> {
    let said = |error: std::io::Error| format!("{}: {error}", at.display());
    // A slash at the end would follow a symbolic link.
    let at: PathBuf = at.components().collect();
    match std::fs::symlink_metadata(&at) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Ok(Mountpoint::NoDirectory),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Mountpoint::Absent),
        Err(error) if error.kind() == ErrorKind::NotADirectory => return Ok(Mountpoint::NoDirectory),
        Err(error) => return Err(said(error)),
    }
    let real = std::fs::canonicalize(&at).map_err(said)?;
    if real != at {
        return Ok(Mountpoint::Elsewhere(real));
    }
    let mut guests = 0;
    for entry in std::fs::read_dir(&at).map_err(said)? {
        guests += usize::from(is_guests(&entry.map_err(said)?.file_name().to_string_lossy()));
    }
    Ok(Mountpoint::Directory { guests })
}

/// Nova names a guest's directory by its UUID, with hyphens. What else is in there (`_base`, `locks`,
/// `compute_nodes`) is no guest's.
fn is_guests(name: &str) -> bool {
    name.len() == uuid::fmt::Hyphenated::LENGTH && uuid::Uuid::try_parse(name).is_ok()
}

/// # Errors
/// It is none, or nobody can tell.
pub(super) fn is_a_directory(at: &Path) -> Result<(), String> {
    match mountpoint(at)? {
        Mountpoint::Directory { .. } => Ok(()),
        Mountpoint::Absent => Err(format!("{} is not there", at.display())),
        Mountpoint::NoDirectory => Err(format!("{} is no directory", at.display())),
        Mountpoint::Elsewhere(real) => Err(format!("{} is really {}", at.display(), real.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_as_a_guest_counts_as_one() {
        let folder = tempfile::tempdir_in(std::env::temp_dir().canonicalize().unwrap()).unwrap();
        let at = folder.path().join("instances");
        assert_eq!(mountpoint(&at), Ok(Mountpoint::Absent));
        std::fs::create_dir(&at).unwrap();
        assert_eq!(mountpoint(&at), Ok(Mountpoint::Directory { guests: 0 }));
        for name in ["_base", "locks", "compute_nodes", "000000000000400080000000000000aa"] {
            std::fs::create_dir(at.join(name)).unwrap();
        }
        std::fs::create_dir(at.join("00000000-0000-4000-8000-000000000001_resize")).unwrap();
        assert_eq!(mountpoint(&at), Ok(Mountpoint::Directory { guests: 0 }));
        std::fs::create_dir(at.join("00000000-0000-4000-8000-000000000001")).unwrap();
        std::fs::create_dir(at.join("00000000-0000-4000-8000-00000000000A")).unwrap();
        assert_eq!(mountpoint(&at), Ok(Mountpoint::Directory { guests: 2 }));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&at, &link).unwrap();
        for no_directory in [link.clone(), link.join(""), folder.path().join("link/_base/x")] {
            let found = mountpoint(&no_directory);
            let expected = match no_directory.ends_with("x") {
                true => Mountpoint::Absent,
                false => Mountpoint::NoDirectory,
            };
            assert_eq!(found, Ok(expected), "{}", no_directory.display());
        }
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert_eq!(mountpoint(&folder.path().join("file/x")), Ok(Mountpoint::NoDirectory));
        // With a link further up the mount table names another place.
        let real = Mountpoint::Elsewhere(at.join("_base"));
        assert_eq!(mountpoint(&folder.path().join("link/_base")), Ok(real));
        assert!(is_a_directory(&at.join("_base")).is_ok());
        assert!(is_a_directory(&link).unwrap_err().contains("no directory"));
    }
}
