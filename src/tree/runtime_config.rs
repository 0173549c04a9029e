//! `internal/runtime_config`: what a host published about itself, a versioned superset of the
//! original's JSON.
//!
//! The original's document has `md_arrays`, `hw_model` and `time` and no version; it is read as
//! version 0.

pub mod arrays;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::TreeError;

/// The newest format that this build knows.
pub const VERSION: u64 = 1;

/// What a recovery of this host needs to know. Lenient: others' extra fields are kept out of the way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RuntimeConfig {
    /// 0 for the original's document.
    #[serde(default)]
    pub version: u64,
    /// The original: hardware vendor.
    #[serde(default)]
    pub hw_model: Option<String>,
    /// The model, which the original did not have: DMI product name.
    #[serde(default)]
    pub hw_product: Option<String>,
    /// The original: md arrays by uuid. Read by [`arrays::MdArray::of`], so that one that cannot be
    /// understood costs only who needs it.
    #[serde(default)]
    pub md_arrays: BTreeMap<String, serde_json::Value>,
    /// Filesystems on those arrays, by mountpoint.
    #[serde(default)]
    pub filesystems: Vec<arrays::Filesystem>,
    /// Nova's `instances_path` on this host.
    #[serde(default)]
    pub instances_path: Option<String>,
    /// Whether the boot guard let this boot's guest storage start: one that is not installed cannot keep a
    /// fenced host from its disks when it comes back.
    #[serde(default)]
    pub boot_guard: Option<bool>,
    /// The boot (the kernel's id of it) in which the filesystems that hold the guests are all mounted: a host that
    /// is given back is opened to new guests only then. `None` where one is not, or none is on an array.
    #[serde(default)]
    pub guests_mounted_in: Option<String>,
    /// The original: when it was written.
    #[serde(default)]
    pub time: Option<PublishedAt>,
    /// DMI system UUID, for comparison with the BMC's own.
    #[serde(default)]
    pub system_uuid: Option<String>,
    /// DMI system serial number.
    #[serde(default)]
    pub system_serial: Option<String>,
    /// OpenSSH public host keys (`ssh-ed25519 AAAA...`), without comments.
    #[serde(default)]
    pub ssh_host_keys: Vec<String>,
    /// What Nova calls this host's compute service.
    #[serde(default)]
    pub nova_host: Option<String>,
    /// What Nova calls its hypervisor.
    #[serde(default)]
    pub hypervisor_hostname: Option<String>,
}

/// The original's two forms of one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PublishedAt {
    /// Seconds since the epoch.
    pub timestamp: f64,
    /// The same for people.
    pub datetime: String,
}

impl RuntimeConfig {
    /// Reads a document of any version up to ours; an empty value or `{}` is a host that has
    /// published nothing yet.
    pub fn parse(key: &str, value: &[u8]) -> Result<Self, TreeError> {
        if value.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let malformed =
            |e: serde_json::Error| TreeError::Malformed { key: key.to_owned(), why: e.to_string() };
        // As `super::published` does it, so that whoever reads the whole and whoever reads a field read one document:
        // straight into the fields, what is no JSON in the others would not be seen.
        let fields: serde_json::Map<String, serde_json::Value> =
            serde_json::from_slice(value).map_err(malformed)?;
        let config: Self = serde_json::from_value(fields.into()).map_err(malformed)?;
        if config.version > VERSION {
            return Err(TreeError::Newer { key: key.to_owned(), found: config.version, known: VERSION });
        }
        Ok(config)
    }
}
