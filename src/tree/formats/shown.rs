//! What an HA node's `mark-failed` shows its `recover`, before that one says that incidents may be opened elsewhere.

use super::kind::Kind;
use super::lowest::Formats;
use crate::keys;
use crate::names::HaNodeName;
use crate::store::{Op, Store, StoreError, TxnOutcome};

/// An HA node's `mark-failed` shows that its token may open incidents in keys of their own, while its `recover` has not
/// said so. Returns whether it wrote.
///
/// # Errors
/// Consul does not answer, or does not let it: its policy is of an older build, and it opens incidents where that one does.
pub async fn show_that_it_may_open(
    store: &dyn Store,
    me: &HaNodeName,
    formats: &Formats,
) -> Result<bool, StoreError> {
    // One that nobody configured is none, and one that reads no words yet has something else to settle first.
    if formats.reads(me, Kind::Layout) != 1 {
        return Ok(false);
    }
    let shown = store.transact(&[Op::Cas(keys::may_open(me), Vec::new(), 0)]).await?;
    Ok(matches!(shown, TxnOutcome::Committed(_)))
}
