//! Versioned JSON records: strict on our own, read-only when newer than us.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::TreeError;

/// A stored record with a format version of its own.
pub trait Record: Serialize + DeserializeOwned + Clone {
    /// The highest version that this build reads.
    const VERSION: u64;

    /// The record as it is stored. A kind with more than one version says here which of them its contents need, so
    /// that what uses nothing new is written as before, and an older HA node goes on reading it:
    ///
    /// ```ignore
    /// fn stored(&self) -> Cow<'_, Self> {
    ///     let version = if self.ttl.is_some() { 2 } else { 1 };
    ///     Cow::Owned(Self { version, ..self.clone() })
    /// }
    /// ```
    fn stored(&self) -> Cow<'_, Self> {
        Cow::Borrowed(self)
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: Option<u64>,
}

/// Reads a record: its version is looked at before its shape, so that a newer record is *newer*
/// and not *broken*.
pub fn parse<T: Record>(key: &str, value: &[u8]) -> Result<T, TreeError> {
    let malformed = |why: String| TreeError::Malformed { key: key.to_owned(), why };
    let head: Versioned = serde_json::from_slice(value).map_err(|e| malformed(e.to_string()))?;
    match head.version {
        None => return Err(malformed("it has no version".into())),
        Some(found) if found > T::VERSION => {
            return Err(TreeError::Newer { key: key.to_owned(), found, known: T::VERSION });
        }
        Some(_) => {}
    }
    serde_json::from_slice(value).map_err(|e| malformed(e.to_string()))
}

/// The bytes to store.
pub fn bytes<T: Record>(record: &T) -> Vec<u8> {
    // Records hold strings, numbers, lists and string-keyed maps: nothing that JSON cannot hold.
    serde_json::to_vec(record.stored().as_ref()).unwrap_or_default()
}

/// The format version, always the first field of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub u64);
