//! Which machine this is, whatever it is called: `/etc/machine-id` (machine-id(5)), made when the system is
//! installed and kept over boots.
//!
//! Two machines that were cloned with it have one, and cannot be told apart by it. It is no secret here: the
//! tree that it is written to is read by the HA nodes and by operators.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// 32 hexadecimal digits, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MachineId(String);

/// Why this machine's id is not known.
#[derive(Debug, thiserror::Error)]
pub enum MachineIdError {
    /// The file cannot be read.
    #[error("cannot read {FILE}, which says which machine this is")]
    Read {
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It says something else (`uninitialized` while an image boots for the first time).
    #[error("{text:?} is no machine id: 32 hexadecimal digits, not all zero, as in {FILE}")]
    NoId {
        /// What it says.
        text: String,
    },
}

impl MachineIdError {
    /// The operator's next command.
    pub fn hint(&self) -> &'static str {
        "systemd-machine-id-setup"
    }
}

const FILE: &str = "/etc/machine-id";

impl MachineId {
    /// This machine's.
    ///
    /// # Errors
    /// The file is not there, or says nothing that is an id.
    pub fn of_this_machine() -> Result<Self, MachineIdError> {
        Self::read(Path::new(FILE))
    }

    fn read(path: &Path) -> Result<Self, MachineIdError> {
        let text = std::fs::read_to_string(path).map_err(|source| MachineIdError::Read { source })?;
        text.trim().to_owned().try_into()
    }

    /// Enough of it for people to tell two apart.
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl TryFrom<String> for MachineId {
    type Error = MachineIdError;

    fn try_from(text: String) -> Result<Self, MachineIdError> {
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 32 && text.bytes().all(is_digit) && text.bytes().any(|b| b != b'0') {
            return Ok(Self(text));
        }
        Err(MachineIdError::NoId { text: text.chars().take(64).collect() })
    }
}

impl From<MachineId> for String {
    fn from(id: MachineId) -> String {
        id.0
    }
}

impl fmt::Display for MachineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_one_machine_is_an_id() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            MachineId::read(file.path())
        };
        let id = read("0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!((id.to_string().as_str(), id.short()), ("0123456789abcdef0123456789abcdef", "01234567"));
        for bad in ["", "uninitialized\n", &"0".repeat(32), &"f".repeat(31), &"G".repeat(32), &"A".repeat(32)]
        {
            assert!(read(bad).is_err(), "{bad:?} was taken for a machine id");
        }
        assert!(MachineId::read(Path::new("/nonexistent")).is_err());
    }
}
