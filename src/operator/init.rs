//! `nova-ha init`: the sentinels that tell an empty tree from a denied one.

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::table::when;
use crate::keys;
use crate::store::{Op, Store, TxnOutcome};
use crate::tree::meta::Meta;
use crate::tree::record::{Record, bytes};
use crate::tree::{Snapshot, TreeError};

const DOING: &str = "initialise the tree";

/// Writes `ha_cluster/meta` and its twin among the incidents, unless they are there.
pub async fn run(store: &dyn Store) -> Result<Answer, OperatorError> {
    let before = read(store).await?;
    if let Some(meta) = &before.meta
        && before.has_incidents_sentinel()
    {
        return already(meta);
    }
    let meta = before.meta.clone().unwrap_or_else(|| Meta {
        version: Meta::VERSION,
        generation: uuid::Uuid::new_v4().to_string(),
        created_at: jiff::Timestamp::now(),
    });
    let write = |key: &str| match before.tree.get(key) {
        Some(entry) => Op::unchanged(key, Some(entry)),
        None => Op::replace(key, bytes(&meta), None),
    };
    let ops = [write(keys::META), write(keys::INCIDENTS_SENTINEL)];
    let outcome =
        store.transact(&ops).await.map_err(|source| OperatorError::Write { doing: DOING.into(), source })?;
    match outcome {
        TxnOutcome::Committed(_) => done(
            Outcome::Changed,
            "init",
            &meta.generation,
            format!("initialised, generation {}\nnext: nova-ha ha-node add NAME ...", meta.generation),
        ),
        // Somebody else was first, or it is there and this token may not read it.
        TxnOutcome::Refused(refusals) => {
            let after = read(store).await?;
            if let Some(meta) = &after.meta
                && after.has_incidents_sentinel()
            {
                return already(meta);
            }
            let refusal = refusals.into_iter().next();
            let (key, what) = refusal.map_or_else(Default::default, |refusal| (refusal.key, refusal.what));
            Err(OperatorError::Moved { doing: DOING.into(), key, what })
        }
    }
}

struct Before {
    meta: Option<Meta>,
    tree: Snapshot,
}

impl Before {
    fn has_incidents_sentinel(&self) -> bool {
        self.tree.get(keys::INCIDENTS_SENTINEL).is_some()
    }
}

async fn read(store: &dyn Store) -> Result<Before, OperatorError> {
    let wanted = [keys::META, keys::INCIDENTS_SENTINEL].map(str::to_owned);
    let tree = Snapshot::read(store, keys::META, &wanted).await.map_err(super::error::tree(DOING))?;
    match Meta::of(&tree) {
        Ok(meta) => Ok(Before { meta: Some(meta), tree }),
        Err(TreeError::NoMeta) => Ok(Before { meta: None, tree }),
        Err(error) => Err(super::error::tree(DOING)(error)),
    }
}

fn already(meta: &Meta) -> Result<Answer, OperatorError> {
    let at = when(meta.created_at);
    let text = format!("already so: initialised {at}\ngeneration {}", meta.generation);
    done(Outcome::AlreadySo, "init", &meta.generation, text)
}
