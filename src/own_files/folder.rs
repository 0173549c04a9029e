//! A folder of ours, opened: what is done in it is done in this very folder, whatever its path leads to meanwhile.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fchmod, fstat, fsync, mkdirat, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use super::error::OwnFileError;
use super::rules::{self, Me};

/// Above all that we write: what a host publishes of its disks is bounded by Consul, at 512 KiB.
const LARGEST: usize = 4 * 1024 * 1024;
/// Everybody may look which marks there are; what is in them has a mode of its own.
const FOLDER_MODE: u32 = 0o755;
/// Others can hold a lock on a file that they can open.
const FILE_MODE: u32 = 0o600;
const READABLE_MODE: u32 = 0o644;
/// Never through a link, never waiting for the other end of a fifo, never into an executable that we start.
const SAFELY: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);

/// Whether what was written is there after a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// It is on the disk when the write returns.
    OverPowerCuts,
    /// It is not waited for.
    WhileItRuns,
}

/// Who may read what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadBy {
    /// Its owner.
    Owner,
    /// Every user of this machine.
    Everybody,
}

/// An opened folder.
#[derive(Debug)]
pub struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    me: Me,
}

impl Folder {
    /// A folder by its path; `None`: it is not there.
    ///
    /// # Errors
    /// It is not ours.
    pub fn open(path: &Path) -> Result<Option<Self>, OwnFileError> {
        Self::open_as(path, Me::now())
    }

    pub(super) fn open_as(path: &Path, me: Me) -> Result<Option<Self>, OwnFileError> {
        match open_folder(CWD, path, path) {
            Err(OwnFileError::Link { .. }) if rules::is_roots_own_link(path, me) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                match openat(CWD, path, flags, Mode::empty()) {
                    Ok(fd) => checked(fd, path, me).map(Some),
                    Err(errno) => Err(io_error("open", path, errno)),
                }
            }
            Err(error) => Err(error),
            Ok(None) => Ok(None),
            Ok(Some(fd)) => checked(fd, path, me).map(Some),
        }
    }

    /// A folder by its path, made where it is not there.
    ///
    /// # Errors
    /// It cannot be made, or is not ours.
    pub fn make(path: &Path) -> Result<Self, OwnFileError> {
        let me = Me::now();
        if let Some(folder) = Self::open_as(path, me)? {
            return Ok(folder);
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|source| OwnFileError::Io {
                doing: "make",
                path: parent.to_owned(),
                fix: None,
                source,
            })?;
        }
        make_folder(CWD, path, path, me)?;
        Self::open_as(path, me)?.ok_or_else(|| io_error("open", path, Errno::NOENT))
    }

    /// A folder in this one, or this one; `None`: it is not there.
    ///
    /// # Errors
    /// It is not ours.
    pub fn within(self, name: Option<&str>) -> Result<Option<Self>, OwnFileError> {
        let Some(name) = name else { return Ok(Some(self)) };
        let path = self.path_of(name)?;
        match open_folder(self.fd.as_fd(), Path::new(name), &path)? {
            None => Ok(None),
            Some(fd) => checked(fd, &path, self.me).map(Some),
        }
    }

    /// As [`Folder::within`], made where it is not there.
    ///
    /// # Errors
    /// It cannot be made, or is not ours.
    pub fn make_within(self, name: Option<&str>) -> Result<Self, OwnFileError> {
        let Some(name) = name else { return Ok(self) };
        let path = self.path_of(name)?;
        if open_folder(self.fd.as_fd(), Path::new(name), &path)?.is_none() {
            make_folder(self.fd.as_fd(), Path::new(name), &path, self.me)?;
        }
        self.within(Some(name))?.ok_or_else(|| io_error("open", &path, Errno::NOENT))
    }

    /// A file; `None`: it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is not ours.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, OwnFileError> {
        let path = self.path_of(name)?;
        let fd = match openat(&self.fd, name, OFlags::RDONLY | SAFELY, Mode::empty()) {
            Ok(fd) => fd,
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => return Err(io_error("read", &path, errno)),
        };
        rules::look(&regular(&fd, &path)?, &path, self.me)?;
        let mut bytes = Vec::new();
        let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
        let failed = |source| OwnFileError::Io { doing: "read", path: path.clone(), fix: None, source };
        File::from(fd).take(most).read_to_end(&mut bytes).map_err(failed)?;
        match bytes.len() > LARGEST {
            true => Err(OwnFileError::TooLarge { path, limit: LARGEST }),
            false => Ok(Some(bytes)),
        }
    }

    /// Writes a file whole or not at all: under a name of its own first, which then takes the place of whatever is there,
    /// a link too.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8], lasts: Lasts, read_by: ReadBy) -> Result<(), OwnFileError> {
        let path = self.path_of(name)?;
        let failed = |source| OwnFileError::Io { doing: "write", path: path.clone(), fix: None, source };
        let new = format!(".tmp{}", uuid::Uuid::new_v4().simple());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | SAFELY;
        let fd = openat(&self.fd, new.as_str(), flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(|errno| io_error("write", &path, errno))?;
        let mut file = File::from(fd);
        let mut write = || -> io::Result<()> {
            file.write_all(bytes)?;
            if read_by == ReadBy::Everybody {
                fchmod(&file, Mode::from_raw_mode(READABLE_MODE))?;
            }
            if lasts == Lasts::OverPowerCuts {
                file.sync_all()?;
            }
            Ok(renameat(&self.fd, new.as_str(), &self.fd, name)?)
        };
        if let Err(error) = write() {
            let _what_is_left_is_no_file_of_ours = unlinkat(&self.fd, new.as_str(), AtFlags::empty());
            return Err(failed(error));
        }
        match lasts {
            Lasts::OverPowerCuts => fsync(&self.fd).map_err(|errno| failed(errno.into())),
            Lasts::WhileItRuns => Ok(()),
        }
    }

    /// Removes a file, or the link that is in its place; `false`: there was none.
    ///
    /// # Errors
    /// It may be there still.
    pub fn remove(&self, name: &str) -> Result<bool, OwnFileError> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(io_error("remove", &self.path_of(name)?, errno)),
        }
    }

    /// The names in it that are text, in order.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn names(&self) -> Result<Vec<String>, OwnFileError> {
        let failed = |errno| io_error("read", &self.path, errno);
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.fd).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if let Ok(name) = entry.file_name().to_str()
                && !matches!(name, "." | "..")
            {
                names.push(name.to_owned());
            }
        }
        names.sort();
        Ok(names)
    }

    /// A file to be locked, made where it is not there, for its owner alone: who can open a file can lock it.
    ///
    /// # Errors
    /// It cannot be opened, is not ours, or is a file of somewhere else.
    pub fn to_lock(&self, name: &str) -> Result<File, OwnFileError> {
        let path = self.path_of(name)?;
        let flags = OFlags::RDWR | OFlags::CREATE | SAFELY;
        let fd = openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE))
            .map_err(|errno| io_error("lock", &path, errno))?;
        let is = regular(&fd, &path)?;
        rules::owner(&is, &path, self.me)?;
        if is.st_nlink > 1 {
            return Err(OwnFileError::OtherNames { path, names: is.st_nlink });
        }
        // Those of earlier versions can be opened by everybody.
        if is.st_uid == self.me.uid {
            fchmod(&fd, Mode::from_raw_mode(FILE_MODE)).map_err(|errno| io_error("lock", &path, errno))?;
        }
        Ok(File::from(fd))
    }

    fn path_of(&self, name: &str) -> Result<PathBuf, OwnFileError> {
        let path = self.path.join(name);
        match name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
            true => Err(io_error("use", &path, Errno::INVAL)),
            false => Ok(path),
        }
    }
}

fn open_folder(at: impl AsFd, name: &Path, path: &Path) -> Result<Option<OwnedFd>, OwnFileError> {
    match openat(at, name, OFlags::RDONLY | OFlags::DIRECTORY | SAFELY, Mode::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT) => Ok(None),
        Err(Errno::LOOP | Errno::NOTDIR) => match path.is_symlink() {
            true => Err(OwnFileError::Link { path: path.to_owned() }),
            false => Err(OwnFileError::Kind { path: path.to_owned(), expected: "folder" }),
        },
        Err(errno) => Err(io_error("open", path, errno)),
    }
}

fn make_folder(at: impl AsFd, name: &Path, path: &Path, me: Me) -> Result<(), OwnFileError> {
    let failed = |errno| {
        let fix = (errno == Errno::ACCESS && me.uid != 0)
            .then(|| format!(" as uid {0}; as root: install -d -o {0} -m 0755 {1}", me.uid, path.display()));
        OwnFileError::Io { doing: "make", path: path.to_owned(), fix, source: io::Error::from(errno) }
    };
    match mkdirat(at.as_fd(), name, Mode::from_raw_mode(FOLDER_MODE)) {
        Ok(()) => {}
        // Another executable was quicker; whose it is is looked at next.
        Err(Errno::EXIST) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    }
    match open_folder(at, name, path)? {
        // Whatever the umask.
        Some(fd) => fchmod(&fd, Mode::from_raw_mode(FOLDER_MODE)).map_err(failed),
        None => Ok(()),
    }
}

fn checked(fd: OwnedFd, path: &Path, me: Me) -> Result<Folder, OwnFileError> {
    let is = fstat(&fd).map_err(|errno| io_error("look at", path, errno))?;
    rules::look(&is, path, me)?;
    Ok(Folder { fd, path: path.to_owned(), me })
}

fn regular(fd: &OwnedFd, path: &Path) -> Result<Stat, OwnFileError> {
    let is = fstat(fd).map_err(|errno| io_error("look at", path, errno))?;
    match FileType::from_raw_mode(is.st_mode) {
        FileType::RegularFile => Ok(is),
        _ => Err(OwnFileError::Kind { path: path.to_owned(), expected: "regular file" }),
    }
}

fn io_error(doing: &'static str, path: &Path, errno: Errno) -> OwnFileError {
    match errno {
        Errno::LOOP => OwnFileError::Link { path: path.to_owned() },
        Errno::ISDIR | Errno::NXIO => OwnFileError::Kind { path: path.to_owned(), expected: "regular file" },
        other => OwnFileError::Io { doing, path: path.to_owned(), fix: None, source: other.into() },
    }
}
