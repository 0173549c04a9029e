//! Files that last until the next boot of this machine (`/run/nova-ha`).

use std::io::{self, Write};
use std::path::Path;

/// Writes a file whole or not at all: another executable may be reading or writing it.
///
/// # Errors
/// The folder cannot be made or written.
pub fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error).map(drop)
}
