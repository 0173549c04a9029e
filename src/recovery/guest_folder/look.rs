//! The look itself: below the folder's own file descriptor, without following a link, without waiting, reading beginnings only.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::leads::{BASE, Leads, leads};
use super::strange::{BaseFault, Strange, shown};
use crate::disks::image::{FIRST_BYTES, Image, image};
use crate::disks::qcow2::{self, Backing};

/// Nova has some ten in it.
const MOST_ENTRIES: usize = 200;

/// Nova's mapping of paths to formats has one line for each disk.
const MOST_DISK_INFO: usize = 64 * 1024;

/// Where Nova keeps its guests unless told otherwise.
const INSTANCES_PATH: &str = "/var/lib/nova/instances";

const DISK_INFO: &str = "disk.info";

/// Nova gives no other to `disk.info` where disks are files, but images that nobody converted (`force_raw_images`).
const FORMATS: [&str; 2] = ["raw", "qcow2"];

/// The place that the guests' folders are in, opened once for several looks.
#[derive(Debug)]
pub struct Instances {
    folder: OwnedFd,
    base: Base,
    names: Vec<PathBuf>,
}

#[derive(Debug)]
enum Base {
    Absent,
    Folder(OwnedFd),
    NoFolder,
}

/// What a name in a folder is.
enum Entry {
    Absent,
    File(OwnedFd),
    Folder,
    Link,
    Special,
}

type Said<T> = Result<T, String>;

impl Instances {
    /// Opens the place. `mountpoint` is an operator's word, so its links are followed.
    ///
    /// # Errors
    /// It is not there, or cannot be read.
    pub fn open(mountpoint: &Path) -> Said<Self> {
        let failed = |error: Errno| format!("{}: {error}", mountpoint.display());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(CWD, mountpoint, flags, Mode::empty()).map_err(failed)?;
        let base = match enter(folder.as_fd(), BASE) {
            Ok(folder) => Base::Folder(folder),
            Err(Errno::NOENT) => Base::Absent,
            Err(Errno::LOOP | Errno::NOTDIR) => Base::NoFolder,
            Err(error) => return Err(format!("{}: {error}", mountpoint.join(BASE).display())),
        };
        Ok(Self { folder, base, names: names(mountpoint) })
    }

    /// What is strange in a guest's folder: the first that is found, by name. A folder that is not there has nothing.
    ///
    /// # Errors
    /// Something cannot be read, which is *cannot tell*.
    pub fn strange(&self, guest: &str) -> Said<Option<Strange>> {
        let folder = match enter(self.folder.as_fd(), guest) {
            Ok(folder) => folder,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(format!("{guest}: {error}")),
        };
        if matches!(self.base, Base::NoFolder) {
            return Ok(Some(Strange::NoBaseFolder));
        }
        let failed = |file: &str, error: Errno| format!("{guest}/{file}: {error}");
        let mut files = Vec::new();
        for entry in Dir::read_from(&folder).map_err(|error| failed("", error))? {
            let entry = entry.map_err(|error| failed("", error))?;
            if matches!(entry.file_name().to_bytes(), b"." | b"..") {
                continue;
            }
            if files.len() == MOST_ENTRIES {
                return Ok(Some(Strange::Crowded { most: MOST_ENTRIES }));
            }
            files.push(entry.file_name().to_owned());
        }
        files.sort();
        for name in &files {
            let file = shown(name.to_bytes());
            let found = entry(folder.as_fd(), name).map_err(|error| failed(&file, error))?;
            let opened = match found {
                Entry::File(opened) => opened,
                Entry::Link => return Ok(Some(Strange::Link { file })),
                Entry::Special => return Ok(Some(Strange::Special { file })),
                Entry::Folder | Entry::Absent => continue,
            };
            let strange = match file.as_str() {
                DISK_INFO => in_disk_info(&opened),
                _ if is_console(&file) => Ok(None),
                _ => self.in_image(guest, &file, &opened),
            };
            if let Some(strange) = strange.map_err(|error| failed(&file, error))? {
                return Ok(Some(strange));
            }
        }
        Ok(None)
    }

    fn in_image(&self, guest: &str, file: &str, opened: &OwnedFd) -> Result<Option<Strange>, Errno> {
        let file = file.to_owned();
        let header = match image(&first(opened)?) {
            Image::Alone => return Ok(None),
            Image::CanNameOthers(format) => return Ok(Some(Strange::Format { file, format: format.into() })),
            Image::Malformed(why) => return Ok(Some(Strange::Header { file, why })),
            Image::Qcow2(header) if header.has_data_file => return Ok(Some(Strange::DataFile { file })),
            Image::Qcow2(header) => header,
        };
        let Some(Backing { name, format }) = header.backing else { return Ok(None) };
        if let Some(format) = format.filter(|format| !FORMATS.iter().any(|known| known.as_bytes() == format))
        {
            let file = format!("{file}'s backing file");
            return Ok(Some(Strange::Format { file, format: shown(&format) }));
        }
        let elsewhere = |file| Strange::Backing { file, names: shown(&name) };
        match leads(&name, guest, &self.names) {
            // All files of the folder are looked at, and these two in another way.
            Leads::Folder(own) if own != DISK_INFO && !is_console(own) => Ok(None),
            Leads::Folder(_) | Leads::Elsewhere => Ok(Some(elsewhere(file))),
            Leads::Base(base) => {
                let fault = self.base_fault(base)?;
                Ok(fault.map(|why| Strange::Base { file, base: base.to_owned(), why }))
            }
        }
    }

    /// Nova makes what is missing in `_base` from the image.
    fn base_fault(&self, name: &str) -> Result<Option<BaseFault>, Errno> {
        let Base::Folder(base) = &self.base else { return Ok(None) };
        let name = std::ffi::CString::new(name).map_err(|_| Errno::INVAL)?;
        let opened = match entry(base.as_fd(), &name)? {
            Entry::Absent => return Ok(None),
            Entry::File(opened) => opened,
            Entry::Folder | Entry::Link | Entry::Special => return Ok(Some(BaseFault::NoFile)),
        };
        Ok(match image(&first(&opened)?) {
            Image::Qcow2(header) if header.backing.is_none() && !header.has_data_file => None,
            Image::Alone => None,
            Image::Qcow2(_) | Image::CanNameOthers(_) => Some(BaseFault::NamesOthers),
            Image::Malformed(why) => Some(BaseFault::Header(why)),
        })
    }
}

/// What the guest writes to its serial console is no disk, whatever it looks like; the rotated ones (`console.log.0`) neither.
fn is_console(file: &str) -> bool {
    file == "console.log" || file.starts_with("console.log.")
}

/// By which names an image may name what is in the place. Beside its own, the one that Nova uses by default, where
/// that leads here: images name their backing files as the host called them.
fn names(mountpoint: &Path) -> Vec<PathBuf> {
    let real = std::fs::canonicalize(mountpoint).ok();
    let usual = std::fs::canonicalize(INSTANCES_PATH).ok().filter(|usual| Some(usual) == real.as_ref());
    let usual = usual.map(|_| PathBuf::from(INSTANCES_PATH));
    [Some(mountpoint.to_owned()), real, usual].into_iter().flatten().collect()
}

/// A folder in this folder, and not through a link.
fn enter(at: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(at, name, flags, Mode::empty())
}

/// Only what is a regular file is opened: to open a FIFO waits for its writer, to open a device may do anything.
fn entry(at: BorrowedFd<'_>, name: &CStr) -> Result<Entry, Errno> {
    let found = match rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(found) => found,
        Err(Errno::NOENT) => return Ok(Entry::Absent),
        Err(error) => return Err(error),
    };
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => {}
        FileType::Directory => return Ok(Entry::Folder),
        FileType::Symlink => return Ok(Entry::Link),
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => {
            return Ok(Entry::Special);
        }
    }
    // If it is another thing by now.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat(at, name, flags, Mode::empty()) {
        Ok(opened) => opened,
        Err(Errno::LOOP) => return Ok(Entry::Link),
        Err(error) => return Err(error),
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&opened)?.st_mode) {
        FileType::RegularFile => Ok(Entry::File(opened)),
        FileType::Directory
        | FileType::Symlink
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Ok(Entry::Special),
    }
}

/// As much of a file as is needed to know what it is.
fn first(opened: &OwnedFd) -> Result<Vec<u8>, Errno> {
    let bytes = beginning(opened, FIRST_BYTES)?;
    if bytes.starts_with(&qcow2::MAGIC) { beginning(opened, qcow2::HEADER_BYTES) } else { Ok(bytes) }
}

fn beginning(opened: &OwnedFd, most: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; most];
    let mut read = 0;
    while let Some(place) = bytes.get_mut(read..).filter(|place| !place.is_empty()) {
        let at = u64::try_from(read).map_err(|_| Errno::OVERFLOW)?;
        match rustix::io::retry_on_intr(|| rustix::io::pread(opened, &mut *place, at))? {
            0 => break,
            more => read += more,
        }
    }
    bytes.truncate(read);
    Ok(bytes)
}

/// Nova's `Flat` disks are opened as what stands here, a map of paths to formats; which path is the disk's on this machine
/// is Nova's matter, so every format counts. Source: `resolve_driver_format` of nova/virt/libvirt/imagebackend.py.
fn in_disk_info(opened: &OwnedFd) -> Result<Option<Strange>, Errno> {
    Ok(disk_info(&beginning(opened, MOST_DISK_INFO + 1)?))
}

fn disk_info(text: &[u8]) -> Option<Strange> {
    let strange = |why: String| Some(Strange::DiskInfo { why });
    if text.len() > MOST_DISK_INFO {
        return strange(format!("it is longer than {MOST_DISK_INFO} bytes"));
    }
    if text.trim_ascii().is_empty() {
        return None;
    }
    let formats: std::collections::BTreeMap<String, String> = match serde_json::from_slice(text) {
        Ok(formats) => formats,
        Err(error) => return strange(error.to_string()),
    };
    let other = formats.into_values().find(|format| !FORMATS.contains(&format.as_str()));
    other.map(|format| Strange::Format { file: "disk".into(), format: shown(format.as_bytes()) })
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn disk_info_said(text: &[u8]) -> Option<Strange> {
    disk_info(text)
}

#[cfg(test)]
mod tests;
