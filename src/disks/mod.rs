//! What the kernel and udev say about this machine's disks: [`md`] arrays and their members, who a
//! disk is wherever it is plugged in ([`id`]), and where filesystems are mounted ([`mountinfo`]); and what a disk image says
//! about other files ([`image`]).
//!
//! What it must never do: run a program, write anything, or name a disk by its place here (`/dev/sda`)
//! to another machine. A device is opened (for reading) only where udev does not name its filesystem. Everything is read below [`Roots`], so that recorded trees can stand in.
//!
//! Start at [`md::read_array`].

pub mod block;
pub mod id;
pub mod image;
pub mod md;
pub mod md_superblock;
pub mod md_uuid;
pub mod mountinfo;
pub mod namesakes;
pub mod on_disk;
pub mod owner_mark;
pub mod pairs;
pub mod places;
pub mod qcow2;
#[cfg(test)]
#[path = "../../tests/support/recorded_machine.rs"]
pub(crate) mod recorded_machine;
#[cfg(test)]
#[path = "../../tests/support/recorded_superblock.rs"]
pub(crate) mod recorded_superblock;
#[cfg(test)]
#[path = "../../tests/support/recorded_tree.rs"]
pub(crate) mod recorded_tree;
pub mod reservation_key;
pub mod running;
pub mod strangers;
pub mod superblock;

use std::io::{self, Read};
use std::path::{Path, PathBuf};

pub use id::DiskId;

/// Where the kernel and udev say what they say.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Roots {
    /// Where sysfs is mounted.
    #[arg(long = "sysfs", default_value = SYS, value_name = "FOLDER")]
    pub sys: PathBuf,
    /// Where procfs is mounted.
    #[arg(long = "procfs", default_value = PROC, value_name = "FOLDER", hide = true)]
    pub proc: PathBuf,
    /// Udev's database; it may be absent.
    #[arg(long = "udev-data", default_value = UDEV, value_name = "FOLDER", hide = true)]
    pub udev: PathBuf,
    /// Where the device nodes are.
    #[arg(long = "dev", default_value = DEV, value_name = "FOLDER", hide = true)]
    pub dev: PathBuf,
}

const SYS: &str = "/sys";
const PROC: &str = "/proc";
const UDEV: &str = "/run/udev/data";
const DEV: &str = "/dev";

impl Default for Roots {
    fn default() -> Self {
        Self { sys: SYS.into(), proc: PROC.into(), udev: UDEV.into(), dev: DEV.into() }
    }
}

/// The largest file that is read: a mount table of some thousand entries has a few hundred KiB.
const MAX_FILE_BYTES: u64 = 4 * 1024 * 1024;

/// A whole small file, without the newline at its end.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE_BYTES) {
        text.truncate(text.trim_end().len());
        return Ok(text);
    }
    Err(io::Error::other("too large"))
}

/// A file that may be absent (older kernels have fewer attributes, raid0 has no `degraded`).
fn read_if_there(path: &Path) -> io::Result<Option<String>> {
    match read(path) {
        Ok(text) => Ok(Some(text)),
        // A device that goes away while its file is open says the latter.
        Err(error) if error.kind() == io::ErrorKind::NotFound || is_gone(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_gone(error: &io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NODEV)
}
