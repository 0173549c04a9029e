//! Files that last until the next boot of this machine (`/run/nova-ha`), and how a file is written whole.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes a file whole or not at all: another executable may be reading or writing it. It is on the disk when this
/// returns: a file that was only renamed is empty after a power cut, and what a host remembers must outlast that.
///
/// # Errors
/// The folder cannot be made or written.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// As [`write_whole`], for what a power cut may take: nothing is waited for until it is on a disk.
///
/// # Errors
/// The folder cannot be made or written.
pub fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

/// Where `nova-ha-boot-guard --for storage` leaves the id of the boot in which it let the guests' storage start.
fn storage_file(run_dir: &Path) -> PathBuf {
    run_dir.join("boot-guard/storage")
}

/// Leaves word that the boot guard let this boot's guest storage start.
///
/// # Errors
/// The folder cannot be written.
pub fn leave_storage_started(run_dir: &Path, boot_id: &str) -> io::Result<()> {
    write_whole(&storage_file(run_dir), &format!("{boot_id}\n"))
}

/// Whether the boot guard did so in this boot. What cannot be read, or is of another boot (a folder that is
/// no tmpfs), is a *no*: it only costs the host its takeover until the guard has run.
pub fn storage_started(run_dir: &Path, boot_id: &str) -> bool {
    std::fs::read_to_string(storage_file(run_dir)).is_ok_and(|text| text.trim() == boot_id)
}
