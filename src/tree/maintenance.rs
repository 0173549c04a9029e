//! `config/maintenance`: a machine under maintenance is not marked.
//!
//! Ours is versioned JSON that says who and why; a scalar `True` or `False`, put there by hand, is
//! read too.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::formats::Kind;
use super::record::{self, Record};
use super::{Snapshot, TreeError, flag};
use crate::keys::MachineKeys;

/// Whether a machine is under maintenance, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Format version.
    pub version: u64,
    /// Under maintenance.
    pub on: bool,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Wall clock, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Record for Maintenance {
    const VERSION: u64 = Kind::Maintenance.newest();
}

impl Maintenance {
    /// Reads `config/maintenance`; absent means *not under maintenance*.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Result<Self, TreeError> {
        let key = keys.maintenance();
        let value = snapshot.get(&key).map(|entry| entry.value.as_slice());
        match value {
            Some(json) if json.trim_ascii_start().starts_with(b"{") => record::parse(&key, json),
            scalar => Ok(Self {
                version: Self::VERSION,
                on: flag::parse(&key, scalar)?,
                reason: None,
                by: None,
                at: None,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::store::Entry;

    fn read(value: Option<&str>) -> Result<Maintenance, TreeError> {
        let keys = keys::host(&"n1".parse().unwrap());
        let mut snapshot = Snapshot::default();
        snapshot.extend(value.map(|value| Entry {
            key: keys.maintenance(),
            value: value.into(),
            modify_index: 1,
            session: None,
        }));
        Maintenance::of(&snapshot, &keys)
    }

    #[test]
    fn a_scalar_put_by_hand_counts_as_much_as_our_own_record() {
        assert!(!read(None).unwrap().on);
        assert!(read(Some("True")).unwrap().on);
        assert!(!read(Some("False")).unwrap().on);
        let ours = read(Some(r#"{"version":1,"on":true,"reason":"disks","by":"ann"}"#)).unwrap();
        assert_eq!((ours.on, ours.by.as_deref()), (true, Some("ann")));
    }

    #[test]
    fn what_cannot_be_understood_is_never_not_under_maintenance() {
        assert!(matches!(read(Some("Treu")), Err(TreeError::NotAFlag { .. })));
        assert!(matches!(read(Some(r#"{"version":1}"#)), Err(TreeError::Malformed { .. })));
        assert!(matches!(read(Some(r#"{"version":2,"off":1}"#)), Err(TreeError::Newer { .. })));
    }
}
