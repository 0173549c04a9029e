//! Opens a file of this machine that was named by somebody else, so that nobody but root and we can have put it there.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Why a file is not read. The text has the fix.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there, or may not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// It, or a folder on the way to it.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A link would lead to another file.
    #[error("{} is a link, or no folder where one is needed: name the file itself", path.display())]
    Link {
        /// It, or what is on the way to it.
        path: PathBuf,
    },
    /// A folder, a fifo or a device: reading it could hang, or never end.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Its owner could change it.
    #[error("{} is owned by uid {uid}, neither root nor the user running this: chown root {0}", path.display())]
    Owner {
        /// It, or a folder on the way to it.
        path: PathBuf,
        /// Its owner.
        uid: u32,
    },
    /// Others could change it, or put another one in its place.
    #[error("{} may be written by others ({mode:04o}): chmod go-w {0}", path.display())]
    Writable {
        /// It, or a folder on the way to it.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// No absolute path without `..`.
    #[error("{} is no absolute path without ..", path.display())]
    Relative {
        /// As it came.
        path: PathBuf,
    },
    /// Larger than it may be.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The bound.
        limit: usize,
    },
}

impl OpenError {
    /// Whether there is nothing of this name.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const OTHERS_WRITE: u32 = 0o002;
const STICKY: u32 = 0o1000;
/// A group is named on purpose: that of the user as whom Consul runs a probe.
const OTHERS_READ: u32 = 0o004;

/// A file and what was in it.
pub struct Opened {
    /// All of it.
    pub bytes: Vec<u8>,
    /// Its permission bits, where everybody may read it.
    pub readable: Option<u32>,
}

/// Reads a regular file wherever it is, links and all: what was so named before a local.toml said anything.
///
/// # Errors
/// It is not there, not a regular file, or larger than `limit` bytes.
pub fn anywhere(path: &Path, limit: usize) -> Result<Opened, OpenError> {
    // A fifo would wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = openat(CWD, path, flags, Mode::empty()).map_err(|errno| read_error(path, errno))?;
    whole(opened, path, limit)
}

/// Reads a regular file of root or of the user running this that others may not write, on a way without links whose folders
/// only they may write (or that are sticky).
///
/// # Errors
/// What is wrong first, with its path.
pub fn owned(path: &Path, limit: usize) -> Result<Opened, OpenError> {
    owned_as(path, limit, rustix::process::geteuid().as_raw())
}

fn owned_as(path: &Path, limit: usize, me: u32) -> Result<Opened, OpenError> {
    let (folders, name) = way_to(path)?;
    let mut at = PathBuf::from("/");
    let mut here = open_folder(None, &at)?;
    look_at_folder(&here, &at, me)?;
    for part in folders {
        at.push(&part);
        here = open_folder(Some((&here, &part)), &at)?;
        look_at_folder(&here, &at, me)?;
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = openat(&here, &name, flags, Mode::empty()).map_err(|errno| read_error(path, errno))?;
    let is = stat(&opened, path)?;
    if !is.is_file() {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    may_be_ours(&is, path, me)?;
    let mode = is.mode() & 0o7777;
    if mode & GROUP_OR_OTHERS_WRITE != 0 {
        return Err(OpenError::Writable { path: path.to_owned(), mode });
    }
    whole(opened, path, limit)
}

/// The folders on the way, and the name of the file.
fn way_to(path: &Path) -> Result<(Vec<PathBuf>, PathBuf), OpenError> {
    let relative = || OpenError::Relative { path: path.to_owned() };
    let mut parts = path.components();
    if parts.next() != Some(Component::RootDir) {
        return Err(relative());
    }
    let mut names = Vec::new();
    for part in parts {
        match part {
            Component::Normal(name) => names.push(PathBuf::from(name)),
            Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir => {
                return Err(relative());
            }
        }
    }
    let name = names.pop().ok_or_else(|| OpenError::NotAFile { path: path.to_owned() })?;
    Ok((names, name))
}

fn open_folder(within: Option<(&OwnedFd, &Path)>, at: &Path) -> Result<OwnedFd, OpenError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match within {
        Some((folder, name)) => openat(folder, name, flags, Mode::empty()),
        None => openat(CWD, at, flags, Mode::empty()),
    };
    opened.map_err(|errno| read_error(at, errno))
}

fn read_error(path: &Path, errno: Errno) -> OpenError {
    match errno {
        Errno::LOOP | Errno::NOTDIR => OpenError::Link { path: path.to_owned() },
        other => OpenError::Read { path: path.to_owned(), source: other.into() },
    }
}

fn stat(fd: &OwnedFd, path: &Path) -> Result<std::fs::Metadata, OpenError> {
    let failed = |source| OpenError::Read { path: path.to_owned(), source };
    File::from(fd.try_clone().map_err(failed)?).metadata().map_err(failed)
}

fn look_at_folder(folder: &OwnedFd, at: &Path, me: u32) -> Result<(), OpenError> {
    let is = stat(folder, at)?;
    may_be_ours(&is, at, me)?;
    let mode = is.mode() & 0o7777;
    match mode & OTHERS_WRITE != 0 && mode & STICKY == 0 {
        true => Err(OpenError::Writable { path: at.to_owned(), mode }),
        false => Ok(()),
    }
}

fn may_be_ours(is: &std::fs::Metadata, path: &Path, me: u32) -> Result<(), OpenError> {
    match is.uid() {
        uid if uid == 0 || uid == me => Ok(()),
        uid => Err(OpenError::Owner { path: path.to_owned(), uid }),
    }
}

fn whole(opened: OwnedFd, path: &Path, limit: usize) -> Result<Opened, OpenError> {
    let is = stat(&opened, path)?;
    if !is.is_file() {
        return Err(OpenError::NotAFile { path: path.to_owned() });
    }
    let failed = |source| OpenError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    File::from(opened).take(most).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > limit {
        return Err(OpenError::TooLarge { path: path.to_owned(), limit });
    }
    let mode = is.mode() & 0o7777;
    Ok(Opened { bytes, readable: (mode & OTHERS_READ != 0).then_some(mode) })
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    /// `FOLDER/secrets/bmc`, 0700 and 0600.
    fn site() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secrets/bmc");
        fs::create_dir(folder.path().join("secrets")).unwrap();
        fs::write(&secret, "pw\n").unwrap();
        set(&folder.path().join("secrets"), 0o700);
        set(&secret, 0o600);
        (folder, secret)
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn refused(path: &Path) -> String {
        match owned(path, 100) {
            Ok(_) => panic!("{} was read", path.display()),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_file_of_our_own_is_read_and_who_else_may_read_it_is_said() {
        let (_folder, secret) = site();
        let opened = owned(&secret, 100).unwrap();
        assert_eq!((opened.bytes.as_slice(), opened.readable), (&b"pw\n"[..], None));
        for (mode, said) in [(0o640, None), (0o644, Some(0o644)), (0o604, Some(0o604))] {
            set(&secret, mode);
            assert_eq!(owned(&secret, 100).unwrap().readable, said);
        }
        assert!(matches!(owned(&secret, 2), Err(OpenError::TooLarge { .. })));
    }

    #[test]
    fn no_link_is_followed_to_it_nor_on_the_way() {
        let (folder, secret) = site();
        symlink(&secret, folder.path().join("secrets/link")).unwrap();
        symlink(folder.path().join("secrets"), folder.path().join("away")).unwrap();
        for link in [folder.path().join("secrets/link"), folder.path().join("away/bmc")] {
            assert!(refused(&link).contains("is a link"), "{}", link.display());
            // As it was before: wherever a link leads.
            assert_eq!(anywhere(&link, 100).unwrap().bytes, b"pw\n");
        }
    }

    #[test]
    fn what_others_may_write_is_named_with_the_fix() {
        let (folder, secret) = site();
        for mode in [0o620, 0o602] {
            set(&secret, mode);
            assert!(refused(&secret).contains(&format!("({mode:04o}): chmod go-w {}", secret.display())));
        }
        set(&secret, 0o600);
        set(folder.path(), 0o777);
        assert!(refused(&secret).contains(&format!("chmod go-w {}", folder.path().display())));
        set(folder.path(), 0o1777);
        assert!(owned(&secret, 100).is_ok(), "in a sticky folder only its owner replaces it");
    }

    #[test]
    fn a_file_of_another_user_is_named_with_the_fix() {
        let (_folder, secret) = site();
        let whose = fs::metadata(&secret).unwrap().uid();
        if whose == 0 {
            std::os::unix::fs::chown(&secret, Some(65_534), None).unwrap();
            assert!(
                refused(&secret).contains("uid 65534, neither root nor the user running this: chown root")
            );
            assert!(owned_as(&secret, 100, 65_534).is_ok(), "its owner may read it");
        } else {
            assert!(matches!(owned_as(&secret, 100, whose + 1), Err(OpenError::Owner { .. })));
        }
    }

    #[test]
    fn what_is_no_regular_file_is_never_read() {
        let (folder, _) = site();
        let fifo = folder.path().join("secrets/fifo");
        rustix::fs::mkfifoat(CWD, &fifo, Mode::from_raw_mode(0o600)).unwrap();
        for bad in [fifo.as_path(), &folder.path().join("secrets")] {
            assert!(refused(bad).contains("not a regular file"), "{}", bad.display());
            assert!(matches!(anywhere(bad, 100), Err(OpenError::NotAFile { .. })));
        }
        for bad in ["secrets/bmc", "/etc/../etc/hostname"] {
            assert!(matches!(owned(Path::new(bad), 100), Err(OpenError::Relative { .. })), "{bad}");
        }
        assert!(owned(Path::new("/nonexistent/bmc"), 100).is_err_and(|error| error.is_absent()));
    }
}
