//! Waiting is said aloud: a note under the incident, one per HA node.

use super::world::World;
use crate::incident::note::WaitingNote;
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Op, TxnOutcome};
use crate::tree::record::{Record, bytes, parse};

/// Writes why this HA node cannot go on; unchanged reasons keep their *since* and write nothing, so
/// that a wait of hours is not a write every few seconds.
pub async fn write(world: &World, id: &IncidentId, reasons: &[String], next: &[String]) {
    let key = keys::incident(id).preflight(&world.me);
    let reasons: Vec<String> = reasons.iter().take(16).map(|r| r.chars().take(300).collect()).collect();
    let result = async {
        let before = world.store.get(&key).await?;
        let same = before
            .as_ref()
            .and_then(|entry| parse::<WaitingNote>(&entry.key, &entry.value).ok())
            .is_some_and(|note| note.reasons == reasons);
        if same {
            return Ok(TxnOutcome::Committed(Vec::new()));
        }
        let note = WaitingNote {
            version: WaitingNote::VERSION,
            node: world.me.clone(),
            reasons,
            next: next.to_vec(),
            since: world.clock.wall(),
        };
        world.store.transact(&[Op::Set(key, bytes(&note))]).await
    };
    if let Err(error) = result.await {
        tracing::warn!(incident = %id, %error, "cannot write why this node waits");
    }
}

/// Removes the note of this node, in the transaction that makes it wrong.
pub fn removed(world: &World, id: &IncidentId) -> Op {
    Op::Delete(keys::incident(id).preflight(&world.me))
}
