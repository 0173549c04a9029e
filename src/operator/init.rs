//! `nova-ha init`: the sentinel that tells an empty tree from a denied one.

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::error::tree;
use super::machine_view::when;
use crate::keys;
use crate::store::{Op, Store, TxnOutcome};
use crate::tree::meta::Meta;
use crate::tree::record::{Record, bytes};
use crate::tree::{Snapshot, TreeError};

const DOING: &str = "initialise the tree";

/// Writes `ha_cluster/meta` unless it is there.
pub async fn run(store: &dyn Store) -> Result<Answer, OperatorError> {
    if let Some(meta) = read(store).await? {
        return already(&meta);
    }
    let meta = Meta {
        version: Meta::VERSION,
        generation: uuid::Uuid::new_v4().to_string(),
        created_at: jiff::Timestamp::now(),
    };
    let op = Op::replace(keys::META, bytes(&meta), None);
    let outcome =
        store.transact(&[op]).await.map_err(|source| OperatorError::Write { doing: DOING.into(), source })?;
    match outcome {
        TxnOutcome::Committed(_) => done(
            Outcome::Changed,
            "init",
            &meta.generation,
            format!("initialised, generation {}\nnext: nova-ha ha-node add NAME ...", meta.generation),
        ),
        // Somebody else was first, or it is there and this token may not read it.
        TxnOutcome::Refused(refusals) => match read(store).await? {
            Some(meta) => already(&meta),
            None => {
                let what = refusals.into_iter().next().map_or_else(String::new, |refusal| refusal.what);
                Err(OperatorError::Moved { doing: DOING.into(), key: keys::META.into(), what })
            }
        },
    }
}

async fn read(store: &dyn Store) -> Result<Option<Meta>, OperatorError> {
    let snapshot = Snapshot::read(store, keys::META, &[keys::META.to_owned()]).await.map_err(tree(DOING))?;
    match Meta::of(&snapshot) {
        Ok(meta) => Ok(Some(meta)),
        Err(TreeError::NoMeta) => Ok(None),
        Err(error) => Err(tree(DOING)(error)),
    }
}

fn already(meta: &Meta) -> Result<Answer, OperatorError> {
    let at = when(meta.created_at);
    let text = format!("already so: initialised {at}\ngeneration {}", meta.generation);
    done(Outcome::AlreadySo, "init", &meta.generation, text)
}
