//! Closed incidents beyond what the policy keeps are removed from the tree.

use jiff::{SignedDuration, Timestamp};

use super::world::World;
use crate::incident::IncidentRecord;
use crate::judge::guard::MARKINGS_COUNT_HOURS;
use crate::keys;
use crate::names::Epoch;
use crate::policy::Policy;
use crate::store::{Op, TxnOutcome};
use crate::tree::incidents::IncidentNames;
use crate::tree::{Snapshot, TreeError};

/// Removes the oldest ended incidents beyond the policy's number; says how many.
///
/// Only those whose host was reset since: the incident of a host's present epoch is what says that
/// this epoch is spent. And only those that the storm guard does not count any more.
pub async fn prune(world: &World) -> Result<usize, TreeError> {
    let read = |source| TreeError::Read { what: "the incidents".into(), source };
    let ids = IncidentNames::list(world.store.as_ref()).await?.ids;
    let mut prefixes = vec![keys::META.to_owned(), keys::POLICY.to_owned()];
    for id in &ids {
        let of = keys::incident(id);
        prefixes.extend([of.incident(), keys::host(id.host()).epoch(), of.order(), of.words()]);
    }
    let snapshot = Snapshot::read(world.store.as_ref(), "the incidents", &prefixes).await?;
    let keep = Policy::of(&snapshot)?.keep_closed_incidents;
    let counted_since = SignedDuration::from_hours(MARKINGS_COUNT_HOURS);
    let counted_since = world.clock.wall().saturating_sub(counted_since).unwrap_or(Timestamp::MIN);
    let mut ended = Vec::new();
    for id in ids {
        let key = keys::incident(&id).incident();
        // What cannot be read is not removed, and keeps no other from being removed.
        let Ok(Some(record)) = snapshot.record::<IncidentRecord>(&key) else { continue };
        let Ok(epoch) = snapshot.number(&keys::host(id.host()).epoch()) else { continue };
        let epoch = Epoch(epoch.unwrap_or(0));
        if record.status.is_over() && id.epoch() < epoch && record.opened_at < counted_since {
            ended.push((record.changed_at, id));
        }
    }
    ended.sort();
    let surplus = ended.len().saturating_sub(keep);
    let mut removed = 0;
    for (_, id) in ended.into_iter().take(surplus) {
        let incident = keys::incident(&id);
        let mut ops = vec![
            Op::unchanged(incident.incident(), snapshot.get(&incident.incident())),
            Op::DeleteTree(incident.all()),
        ];
        // Only where something is there: a token of older policies may not write there, and need not.
        ops.extend(snapshot.get(&incident.order()).map(|order| Op::Delete(order.key.clone())));
        if snapshot.below(&incident.words()).next().is_some() {
            ops.push(Op::DeleteTree(incident.words()));
        }
        match world.store.transact(&ops).await.map_err(read)? {
            TxnOutcome::Committed(_) => removed += 1,
            TxnOutcome::Refused(why) => tracing::info!(incident = %id, ?why, "not removed"),
        }
    }
    Ok(removed)
}
