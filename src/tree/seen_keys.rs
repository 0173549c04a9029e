//! By which SSH host keys HA nodes know a machine of which nobody bound one, each by its own eye: `first_seen_key` of their
//! records.
//!
//! An HA node logs in by what it saw itself, never by what stands here. Here it is shown, and offered to be bound; and
//! whoever answers with one of these keys is taken for the machine, where that holds something up.

use std::collections::BTreeMap;

use super::observer::ObserverRecord;
use super::{Snapshot, record};
use crate::keys::MachineKeys;
use crate::names::HaNodeName;

/// Each key, `TYPE BASE64`, with the HA nodes that saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenKeys(BTreeMap<String, Vec<HaNodeName>>);

impl SeenKeys {
    /// Those of one machine. `snapshot` has its `internal/observers/`. A record that cannot be understood says none: that is a
    /// fault of its own.
    pub fn of(snapshot: &Snapshot, keys: &MachineKeys) -> Self {
        let below = keys.observers();
        let mut seen: BTreeMap<String, Vec<HaNodeName>> = BTreeMap::new();
        for entry in snapshot.below(&below) {
            // Whose record it is says the key, which its observer alone may write.
            let observer = entry.key.strip_prefix(&below).and_then(|name| name.parse().ok());
            let record = record::parse::<ObserverRecord>(&entry.key, &entry.value).ok();
            if let (Some(observer), Some(key)) = (observer, record.and_then(|record| record.first_seen_key)) {
                seen.entry(plain(&key)).or_default().push(observer);
            }
        }
        Self(seen)
    }

    /// Whether no HA node says one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with the HA nodes that saw it.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[HaNodeName])> {
        self.0.iter().map(|(key, nodes)| (key.as_str(), nodes.as_slice()))
    }

    /// The one that all HA nodes which say one saw.
    pub fn agreed(&self) -> Option<(&str, &[HaNodeName])> {
        let mut all = self.all();
        all.next().filter(|_| all.next().is_none())
    }

    /// Whether HA nodes saw different ones, or the machine publishes others than they saw.
    pub fn is_in_doubt(&self, published: &[String]) -> bool {
        let published: Vec<String> = published.iter().map(|line| plain(line)).collect();
        let is_published = |key: &String| published.is_empty() || published.contains(key);
        self.0.len() > 1 || !self.0.keys().all(is_published)
    }
}

/// Without the comment.
fn plain(line: &str) -> String {
    line.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::store::Entry;

    fn seen(records: &[(&str, &str)]) -> SeenKeys {
        let keys = keys::host(&"compute1".parse().unwrap());
        let mut snapshot = Snapshot::default();
        for (observer, field) in records {
            let value = format!(
                r#"{{"version":3,"observer":"ha9","epoch":0,"sequence":1,"fails":0,"threshold":3,"planes":{{}},
                "interval_ms":1,"indices":[],"life":{{"boot_id":"b","boottime_ms":1,"seen_healthy":true}},
                "at":"2026-11-30T00:00:00Z","why":""{field}}}"#
            );
            snapshot.extend([Entry {
                key: format!("{}{observer}", keys.observers()),
                value: value.into_bytes(),
                modify_index: 1,
                session: None,
            }]);
        }
        SeenKeys::of(&snapshot, &keys)
    }

    #[test]
    fn what_ha_nodes_saw_agrees_or_is_in_doubt() {
        let (a, b) = (r#","first_seen_key":"ssh-ed25519 A""#, r#","first_seen_key":"ssh-ed25519 B""#);
        let none = seen(&[("ha1", ""), ("ha2", ",")]);
        assert!(none.is_empty() && none.agreed().is_none() && !none.is_in_doubt(&["ssh-ed25519 A".into()]));
        let one = seen(&[("ha1", a), ("ha2", ""), ("ha3", a)]);
        let (key, nodes) = one.agreed().unwrap();
        assert_eq!(
            (key, nodes.iter().map(HaNodeName::as_str).collect::<Vec<_>>()),
            ("ssh-ed25519 A", vec!["ha1", "ha3"])
        );
        assert!(
            !one.is_in_doubt(&[]) && !one.is_in_doubt(&["ssh-rsa C".into(), "ssh-ed25519 A root@c".into()])
        );
        assert!(one.is_in_doubt(&["ssh-ed25519 B".into()]), "it publishes another one");
        let two = seen(&[("ha1", a), ("ha2", b)]);
        assert!(two.agreed().is_none() && two.is_in_doubt(&[]));
    }
}
