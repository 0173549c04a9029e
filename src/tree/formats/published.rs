//! `ha_nodes/{ha-node}/internal/formats`: what an HA node reads, written by its `nova-ha-recover`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::kind::Kind;
use crate::keys;
use crate::names::HaNodeName;
use crate::store::{Op, Store, StoreError, TxnOutcome};
use crate::tree::{Snapshot, TreeError};

/// What one HA node reads. Lenient, unlike all other records: every build must be able to read what every other
/// one published, so fields are only ever added, and none changes its meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Format version, for people.
    pub version: u64,
    /// The release that it runs, for people.
    pub build: String,
    /// The highest version that it reads, by [`Kind::key`].
    pub reads: BTreeMap<String, u64>,
    /// In which boot it published that: a boot stops the guests that it had. Absent from builds that did not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub boot: Option<String>,
    /// Why it recovers nothing at all, where that is so whatever is dead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped: Option<Stopped>,
    /// What a person should settle on it: how its own root and the tree agree. Absent where there is nothing, and from
    /// builds that did not look.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<Remark>,
}

/// Something to be settled on an HA node: for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// What, of the HA node.
    pub why: String,
    /// The operator's next command.
    pub next: String,
}

/// Why an HA node recovers nothing: for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// Why.
    pub why: String,
    /// The operator's next command.
    pub next: String,
}

impl Published {
    /// What this build reads, in this boot.
    pub fn of_this_build(boot: Option<String>) -> Self {
        let reads = Kind::ALL.map(|kind| (kind.key().to_owned(), kind.newest())).into();
        let build = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: 1, build, reads, boot, stopped: None, remarks: Vec::new() }
    }

    /// The highest version of this kind that it reads.
    pub fn reads(&self, kind: Kind) -> u64 {
        self.reads.get(kind.key()).copied().unwrap_or(kind.baseline())
    }

    /// Reads one.
    ///
    /// # Errors
    /// The value is not such a record.
    pub fn parse(key: &str, value: &[u8]) -> Result<Self, TreeError> {
        serde_json::from_slice(value)
            .map_err(|why| TreeError::Malformed { key: key.to_owned(), why: why.to_string() })
    }
}

/// Why it could not be published: this HA node counts as an old one, and holds the others back.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// What is there cannot be read.
    #[error("cannot read what this HA node published")]
    Read {
        /// The cause.
        source: TreeError,
    },
    /// Consul did not take it: after an upgrade its policies may be those of an older `nova-ha generate acl`.
    #[error("cannot write {key}")]
    Write {
        /// The key.
        key: String,
        /// The cause.
        source: StoreError,
    },
}

impl PublishError {
    /// The operator's next command, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            PublishError::Read { source } => source.hint(),
            PublishError::Write { source, .. } => Some(source.hint()),
        }
    }
}

/// What an HA node says of itself to people.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// See [`Published::stopped`].
    pub stopped: Option<Stopped>,
    /// See [`Published::remarks`].
    pub remarks: Vec<Remark>,
}

/// Publishes what this build reads, in which boot, and what this HA node says of itself, where the tree says
/// otherwise. Returns whether it wrote.
///
/// An HA node that nobody configured publishes nothing: its key would make a machine of a typing error.
///
/// # Errors
/// Consul does not answer, or the token may not write the key.
pub async fn publish(
    store: &dyn Store,
    me: &HaNodeName,
    boot: &str,
    words: Words,
) -> Result<bool, PublishError> {
    let own = keys::ha_node(me);
    let read = [own.general(), own.formats()];
    let tree = Snapshot::read(store, &own.formats(), &read).await;
    let tree = tree.map_err(|source| PublishError::Read { source })?;
    let (Some(general), before) = (tree.get(&own.general()), tree.get(&own.formats())) else {
        return Ok(false);
    };
    let Words { stopped, mut remarks } = words;
    let published = before.and_then(|entry| Published::parse(&entry.key, &entry.value).ok());
    let mut ours = Published { stopped, ..Published::of_this_build(Some(boot.to_owned())) };
    // Once it was said it stays so: the others have begun to write there.
    let before_it = published.as_ref().map_or(0, |published| published.reads(Kind::Layout));
    if before_it < Kind::Layout.newest() {
        let (reads, remark) = layout(store, me, before_it).await;
        ours.reads.insert(Kind::Layout.key().to_owned(), reads);
        remarks.extend(remark);
    }
    ours.remarks = remarks;
    if published.is_some_and(|published| published == ours) {
        return Ok(false);
    }
    // Strings and numbers: nothing that JSON cannot hold.
    let value = serde_json::to_vec(&ours).unwrap_or_default();
    let ops =
        [Op::CheckIndex(own.general(), general.modify_index), Op::replace(own.formats(), value, before)];
    let outcome = store.transact(&ops).await;
    let outcome = outcome.map_err(|source| PublishError::Write { key: own.formats(), source })?;
    match outcome {
        TxnOutcome::Committed(_) => Ok(true),
        // Changed or removed meanwhile: the next run looks again.
        TxnOutcome::Refused(_) => Ok(false),
    }
}

/// What came of trying a token.
enum Tried {
    Open,
    Denied,
    /// The other executable has not tried its own: it has not run yet, or may not.
    NotShown,
    /// Nobody can say it now.
    Unclear,
}

/// Which layout the tokens of this HA node are good for, and what a person has to do for the next one.
async fn layout(store: &dyn Store, me: &HaNodeName, before: u64) -> (u64, Option<Remark>) {
    if before < 1 {
        match may_end_words(store, me).await {
            Tried::Open => {}
            Tried::Denied => return (0, Some(no_words())),
            Tried::NotShown | Tried::Unclear => return (0, None),
        }
    }
    match may_take_up(store, me).await {
        Tried::Open => (2, None),
        Tried::Denied => (1, Some(no_openings("the token of its nova-ha-recover may not write"))),
        Tried::NotShown => (
            1,
            Some(no_openings(
                "its nova-ha-mark-failed has not run since the upgrade, or its token may not write",
            )),
        ),
        Tried::Unclear => (1, None),
    }
}

/// Whether this token may end and remove what people say, as a recovery does.
async fn may_end_words(store: &dyn Store, me: &HaNodeName) -> Tried {
    let keys = keys::tried(me);
    let set = keys.iter().map(|key| Op::Set(key.clone(), Vec::new()));
    let ops: Vec<Op> = set.chain(keys.iter().map(|key| Op::Delete(key.clone()))).collect();
    tried(store.transact(&ops).await)
}

/// Whether this token may remove what was opened, and this HA node's `mark-failed` may open: that one left a key.
async fn may_take_up(store: &dyn Store, me: &HaNodeName) -> Tried {
    match store.get(&keys::may_open(me)).await {
        Ok(Some(shown)) => tried(store.transact(&[Op::DeleteCas(shown.key, shown.modify_index)]).await),
        Ok(None) => Tried::NotShown,
        Err(error) => tried(Err(error)),
    }
}

fn tried(outcome: Result<TxnOutcome, StoreError>) -> Tried {
    match outcome {
        Ok(TxnOutcome::Committed(_)) => Tried::Open,
        Err(StoreError::Denied { .. }) => Tried::Denied,
        Ok(TxnOutcome::Refused(_)) | Err(_) => Tried::Unclear,
    }
}

fn no_words() -> Remark {
    Remark {
        why: format!(
            "the token of its nova-ha-recover may not write below {} and {}, so that people's orders and words still \
             stand where a check's token can forge them",
            keys::ORDERS,
            keys::WORDS
        ),
        next: "nova-ha generate acl (and load the policy of recover again)".to_owned(),
    }
}

/// `who` of its executables, and what is wrong with it.
fn no_openings(who: &str) -> Remark {
    Remark {
        why: format!(
            "{who} below {}, so that a check's token can still forge what a recovery wrote down",
            keys::OPENED
        ),
        next: "nova-ha generate acl (and load the policies of recover and mark-failed again)".to_owned(),
    }
}
