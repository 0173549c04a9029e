//! A part of the tree, read in as few requests as Consul allows.

use std::collections::BTreeMap;

use super::{TreeError, flag};
use crate::store::{Entry, MAX_OPS, Op, Store, TxnOutcome};

/// Entries by key. Read with [`Snapshot::read`], looked up by the paths of [`crate::keys`].
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    entries: BTreeMap<String, Entry>,
}

impl Snapshot {
    /// Reads prefixes (or exact keys) in transactions of at most 64 operations. A transaction is
    /// one index; across transactions the caller's compare-and-set finds what moved.
    ///
    /// `get-tree` is used for exact keys too: a `get` of an absent key would refuse the whole
    /// transaction. Neighbours that share the prefix come along and are harmless, as look-ups are
    /// exact.
    pub async fn read(store: &dyn Store, what: &str, prefixes: &[String]) -> Result<Self, TreeError> {
        let mut snapshot = Self::default();
        for chunk in prefixes.chunks(MAX_OPS) {
            let ops: Vec<Op> = chunk.iter().cloned().map(Op::GetTree).collect();
            let outcome = store
                .transact(&ops)
                .await
                .map_err(|source| TreeError::Read { what: what.to_owned(), source })?;
            match outcome {
                TxnOutcome::Committed(entries) => snapshot.extend(entries),
                TxnOutcome::Refused(refusals) => {
                    let why = refusals.first().map_or_else(|| "refused".to_owned(), |r| r.what.clone());
                    return Err(TreeError::Malformed { key: what.to_owned(), why });
                }
            }
        }
        Ok(snapshot)
    }

    /// Adds entries.
    pub fn extend(&mut self, entries: impl IntoIterator<Item = Entry>) {
        self.entries.extend(entries.into_iter().map(|entry| (entry.key.clone(), entry)));
    }

    /// Adds another snapshot's entries.
    pub fn merge(&mut self, other: Snapshot) {
        self.entries.extend(other.entries);
    }

    /// One key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Everything, in order.
    pub fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Everything below a prefix, in order.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries
            .range(prefix.to_owned()..)
            .map(|(_, entry)| entry)
            .take_while(move |e| e.key.starts_with(prefix))
    }

    /// A boolean of the original; absent reads False.
    pub fn flag(&self, key: &str) -> Result<bool, TreeError> {
        flag::parse(key, self.get(key).map(|entry| entry.value.as_slice()))
    }

    /// A text, trimmed; absent and empty are both `None` (the original writes empty strings for
    /// *not set*).
    pub fn text(&self, key: &str) -> Result<Option<String>, TreeError> {
        let Some(entry) = self.get(key) else { return Ok(None) };
        let text = std::str::from_utf8(&entry.value)
            .map_err(|_| TreeError::Malformed { key: key.to_owned(), why: "it is not UTF-8".into() })?
            .trim();
        Ok((!text.is_empty()).then(|| text.to_owned()))
    }

    /// A number; absent is `None`.
    pub fn number<T: std::str::FromStr>(&self, key: &str) -> Result<Option<T>, TreeError> {
        self.text(key)?
            .map(|text| {
                text.parse().map_err(|_| TreeError::Malformed {
                    key: key.to_owned(),
                    why: format!("{:?} is no number in range", text.chars().take(40).collect::<String>()),
                })
            })
            .transpose()
    }

    /// A versioned record; absent is `None`.
    pub fn record<T: super::record::Record>(&self, key: &str) -> Result<Option<T>, TreeError> {
        self.get(key).map(|entry| super::record::parse(key, &entry.value)).transpose()
    }
}
