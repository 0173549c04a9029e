//! What this machine remembers over boots: which tree it knew, and a person's word for one boot.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::names::HostName;
use crate::run_dir::write_whole;
use crate::tree::boot_guard::Override;
use crate::tree::record::{Record, parse};

/// The tree that said *mine* last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Format version.
    pub version: u64,
    /// The host that it said it to.
    pub host: HostName,
    /// `generation` of `ha_cluster/meta`.
    pub generation: String,
}

impl Record for Known {
    const VERSION: u64 = 1;
}

/// Its files.
pub struct Memory {
    folder: PathBuf,
}

/// Why it cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct MemoryError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

impl Memory {
    /// Below a folder that outlasts boots.
    pub fn at(state_dir: &Path) -> Self {
        Self { folder: state_dir.join("boot-guard") }
    }

    /// The tree that said *mine* last; `None` before the first time.
    ///
    /// # Errors
    /// What is there cannot be read or understood: that is no first time.
    pub fn known(&self) -> Result<Option<Known>, MemoryError> {
        self.read("known")
    }

    /// Remembers it; writes only what is new.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn learn(&self, host: &HostName, generation: &str) -> Result<(), MemoryError> {
        let known = Known { version: Known::VERSION, host: host.clone(), generation: generation.to_owned() };
        if self.known().ok().flatten().as_ref() == Some(&known) {
            return Ok(());
        }
        self.write("known", &known)
    }

    /// A person's word, of whichever boot.
    ///
    /// # Errors
    /// As [`Memory::known`].
    pub fn overridden(&self) -> Result<Option<Override>, MemoryError> {
        self.read("override")
    }

    /// Remembers a person's word, and whether the tree has it.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn say(&self, word: &Override) -> Result<(), MemoryError> {
        self.write("override", word)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.json"))
    }

    fn read<T: Record>(&self, name: &str) -> Result<Option<T>, MemoryError> {
        let path = self.path(name);
        let failed = |why: String| MemoryError { path: path.clone(), why };
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        };
        parse(name, &bytes).map(Some).map_err(|error| failed(error.to_string()))
    }

    fn write<T: Record>(&self, name: &str, record: &T) -> Result<(), MemoryError> {
        let path = self.path(name);
        let failed = |why: String| MemoryError { path: path.clone(), why };
        let text = serde_json::to_string(record).map_err(|error| failed(error.to_string()))?;
        write_whole(&path, &text).map_err(|error| failed(error.to_string()))
    }
}
