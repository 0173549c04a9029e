//! What of a host a recovery would act by on the host's own word, or by what an HA node saw once, because nobody bound anything.

use std::fmt;

use super::bound::Bound;
use super::published::Published;
use super::seen_keys::SeenKeys;
use super::{Snapshot, TreeError};
use crate::keys::MachineKeys;

/// One kind of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnWord {
    /// Its system UUID and serial number, by which its BMC is told from another machine's.
    BmcIdentity,
    /// Its SSH host keys, by which its address is told from another machine's.
    SshHostKeys,
    /// None, and HA nodes go by the one that let them in at first.
    SeenHostKey,
    /// HA nodes saw different ones, or others than it publishes.
    HostKeysInDoubt,
    /// So many md arrays, which an HA node would take.
    Arrays(usize),
}

impl fmt::Display for OwnWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OwnWord::BmcIdentity => f.write_str("BMC identity"),
            OwnWord::SshHostKeys => f.write_str("SSH host keys"),
            OwnWord::SeenHostKey => f.write_str("SSH host key that HA nodes saw first"),
            OwnWord::HostKeysInDoubt => f.write_str("SSH host keys IN DOUBT"),
            OwnWord::Arrays(1) => f.write_str("1 array"),
            OwnWord::Arrays(many) => write!(f, "{many} arrays"),
        }
    }
}

/// All of one host. What an operator wrote counts as bound, also where it cannot be understood: that is a fault of its own.
/// `snapshot` has `config/bound`, `config/bmc/identity`, `config/ssh/host_key`, the runtime info and `internal/observers/`.
pub fn own_words(snapshot: &Snapshot, keys: &MachineKeys) -> Vec<OwnWord> {
    let published = Published::of(snapshot, keys);
    let is_set = |key: String| !matches!(snapshot.text(&key), Ok(None));
    let bound: Result<Option<Bound>, TreeError> = snapshot.record(&keys.bound());
    let (has_identity, has_arrays) = match &bound {
        Ok(None) => (false, false),
        Ok(Some(bound)) => (bound.system_uuid.is_some() || bound.system_serial.is_some(), true),
        Err(_) => (true, true),
    };
    let says = |field: Result<Option<String>, TreeError>| matches!(field, Ok(Some(_)));
    let mut words = Vec::new();
    let says_who_it_is = says(published.system_uuid()) || says(published.system_serial());
    if !has_identity && says_who_it_is && !is_set(keys.bmc_field("identity")) {
        words.push(OwnWord::BmcIdentity);
    }
    if !is_set(keys.ssh_field("host_key")) {
        let (seen, lines) = (SeenKeys::of(snapshot, keys), published.ssh_host_keys().unwrap_or_default());
        words.extend(match (seen.is_in_doubt(&lines), lines.is_empty(), seen.is_empty()) {
            (true, _, _) => Some(OwnWord::HostKeysInDoubt),
            (false, false, _) => Some(OwnWord::SshHostKeys),
            (false, true, false) => Some(OwnWord::SeenHostKey),
            (false, true, true) => None,
        });
    }
    match published.disks() {
        Ok(disks) if !has_arrays && !disks.md_arrays.is_empty() => {
            words.push(OwnWord::Arrays(disks.md_arrays.len()));
        }
        Ok(_) | Err(_) => {}
    }
    words
}

/// In one line.
pub fn text(words: &[OwnWord]) -> String {
    words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::store::Entry;

    const ALL: &str =
        r#"{"version":1,"system_uuid":"u","ssh_host_keys":["ssh-ed25519 A"],"md_arrays":{"a":{}}}"#;
    const BOUND: &str =
        r#"{"version":1,"system_uuid":"u","arrays":{},"by":"ann","at":"2026-11-30T00:00:00Z"}"#;

    #[test]
    fn what_nobody_bound_is_its_own_word() {
        use OwnWord::{Arrays, BmcIdentity, SshHostKeys};
        let keys = keys::host(&"compute1".parse().unwrap());
        let (identity, host_key) = (keys.bmc_field("identity"), keys.ssh_field("host_key"));
        for (set, expected) in [
            (&[][..], &[BmcIdentity, SshHostKeys, Arrays(1)][..]),
            (&[(&identity, "SN-1")], &[SshHostKeys, Arrays(1)]),
            (&[(&identity, "SN-1"), (&host_key, "ssh-ed25519 B")], &[Arrays(1)]),
            (&[(&keys.bound(), BOUND)], &[SshHostKeys]),
            (&[(&keys.bound(), "{")], &[SshHostKeys]),
            (&[(&keys.runtime_config(), "{")], &[]),
        ] {
            let mut snapshot = Snapshot::default();
            let entry = |key: &String, value: &str| Entry {
                key: key.clone(),
                value: value.as_bytes().to_vec(),
                modify_index: 1,
                session: None,
            };
            snapshot.extend([entry(&keys.runtime_config(), ALL)]);
            snapshot.extend(set.iter().map(|(key, value)| entry(key, value)));
            assert_eq!(own_words(&snapshot, &keys), expected, "{set:?}");
        }
    }
}
