//! The one place where an operator's command writes: one transaction, all or nothing.

use super::OperatorError;
use crate::store::{Entry, MAX_OPS, Op, Store, TxnOutcome};

/// Writes; `doing` completes *could not ...*.
pub async fn commit(store: &dyn Store, doing: &str, ops: &[Op]) -> Result<(), OperatorError> {
    committed(store, doing, ops).await.map(drop)
}

/// As [`commit`]; what its reads found, and the keys that it wrote.
pub async fn committed(store: &dyn Store, doing: &str, ops: &[Op]) -> Result<Vec<Entry>, OperatorError> {
    if ops.len() > MAX_OPS {
        return Err(OperatorError::TooLarge { doing: doing.into(), operations: ops.len() });
    }
    let outcome =
        store.transact(ops).await.map_err(|source| OperatorError::Write { doing: doing.into(), source })?;
    let refusals = match outcome {
        TxnOutcome::Committed(entries) => return Ok(entries),
        TxnOutcome::Refused(refusals) => refusals,
    };
    let (key, what) = refusals
        .into_iter()
        .next()
        .map_or_else(|| ("a key".to_owned(), "refused".to_owned()), |r| (r.key, r.what));
    Err(OperatorError::Moved { doing: doing.into(), key, what })
}
