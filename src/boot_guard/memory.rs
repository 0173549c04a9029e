//! What this machine remembers over boots: which tree it knew, what its nova-compute needs, and a person's word for
//! one boot.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::names::HostName;
use crate::own_files;
use crate::tree::boot_guard::Override;
use crate::tree::record::{Record, parse};
use crate::tree::runtime_config::RuntimeConfig;

/// The file of [`Memory::needs`].
const NEEDS: &str = "needs";

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
    state_dir: PathBuf,
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
        Self { state_dir: state_dir.to_owned() }
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

    /// What nova-compute needs before it starts, as the host published it: its guests' filesystems. Nothing, where
    /// Consul never said.
    ///
    /// # Errors
    /// As [`Memory::known`].
    pub fn needs(&self) -> Result<RuntimeConfig, MemoryError> {
        let Some(bytes) = self.bytes(NEEDS)? else { return Ok(RuntimeConfig::default()) };
        let failed = |why: String| MemoryError { path: self.path(NEEDS), why };
        match bytes.is_empty() {
            true => Err(failed("it is empty".into())),
            false => RuntimeConfig::parse(NEEDS, &bytes).map_err(|error| failed(error.to_string())),
        }
    }

    /// Remembers that; writes only what is new.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn keep_needs(&self, published: &RuntimeConfig) -> Result<(), MemoryError> {
        let needs = RuntimeConfig {
            version: published.version,
            filesystems: published.filesystems.clone(),
            instances_path: published.instances_path.clone(),
            ..RuntimeConfig::default()
        };
        if self.needs().is_ok_and(|kept| kept == needs) {
            return Ok(());
        }
        self.write(NEEDS, &needs)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.state_dir.join(file(name))
    }

    fn read<T: Record>(&self, name: &str) -> Result<Option<T>, MemoryError> {
        let Some(bytes) = self.bytes(name)? else { return Ok(None) };
        parse(name, &bytes)
            .map(Some)
            .map_err(|error| MemoryError { path: self.path(name), why: error.to_string() })
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, MemoryError> {
        own_files::read(&self.state_dir, &file(name))
            .map_err(|error| MemoryError { path: self.path(name), why: error.with_cause() })
    }

    fn write<T: Serialize>(&self, name: &str, record: &T) -> Result<(), MemoryError> {
        let path = self.path(name);
        let failed = |why: String| MemoryError { path: path.clone(), why };
        let text = serde_json::to_string(record).map_err(|error| failed(error.to_string()))?;
        own_files::write_whole(&self.state_dir, &file(name), &text)
            .map_err(|error| failed(error.with_cause()))
    }
}

fn file(name: &str) -> String {
    format!("boot-guard/{name}.json")
}
