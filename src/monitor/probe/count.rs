//! `internal/number_fails`: the count on which a quorum of observers agrees. For people.
//!
//! The original raised one shared counter from every HA node without comparing, so it rose N times
//! too fast and one good view reset it. Here it is derived from the observers' own records and
//! compared with them in the transaction that writes it, so two observers cannot leave an old
//! number behind: the one who came too late is refused, and derives it anew.

use super::args::{Machine, Settings};
use crate::keys;
use crate::names::Epoch;
use crate::policy::Policy;
use crate::store::{MAX_OPS, Op, Store, TxnOutcome};
use crate::tree::observer::ObserverRecord;
use crate::tree::{Snapshot, TreeError, record};

/// Refusals until it is left to the next observer's write.
const ATTEMPTS: usize = 3;

/// Brings `number_fails` up to date. Called after an own write only; best effort.
///
/// # Errors
/// Consul did not answer, or something that the count rests on cannot be understood.
pub async fn follow(store: &dyn Store, settings: &Settings, epoch: Epoch) -> Result<(), TreeError> {
    let read = |source| TreeError::Read { what: keys::HA_NODES.to_owned(), source };
    let folders = store.keys(keys::HA_NODES, true).await.map_err(read)?;
    let configured = folders
        .iter()
        .filter_map(|folder| keys::ha_node_of(folder))
        // A vote on an HA node is counted among the others.
        .filter(|name| settings.machine != Machine::Peer(name.clone()))
        .count();
    let keys = settings.machine.keys();
    let (observers, counter) = (keys.observers(), keys.number_fails());
    for _ in 0..ATTEMPTS {
        let wanted = [keys::POLICY.to_owned(), observers.clone(), counter.clone()];
        let snapshot = Snapshot::read(store, &observers, &wanted).await?;
        let quorum = Policy::of(&snapshot)?.quorum_of(configured.max(1));
        let fails: Vec<u64> = snapshot
            .below(&observers)
            .filter_map(|entry| record::parse::<ObserverRecord>(&entry.key, &entry.value).ok())
            .filter(|record| record.epoch == epoch)
            .map(|record| record.fails)
            .collect();
        let agreed = agreed(fails, quorum);
        if snapshot.number(&counter)?.unwrap_or(0) == agreed {
            return Ok(());
        }
        let mut ops = vec![Op::replace(counter.clone(), agreed.to_string(), snapshot.get(&counter))];
        ops.extend(
            snapshot.below(&observers).map(|e| Op::unchanged(e.key.clone(), Some(e))).take(MAX_OPS - 1),
        );
        match store.transact(&ops).await {
            Ok(TxnOutcome::Committed(_)) => return Ok(()),
            Ok(TxnOutcome::Refused(_)) => {}
            Err(source) => return Err(TreeError::Read { what: counter, source }),
        }
    }
    Ok(())
}

/// The quorum-th highest count; observers without a record count 0.
fn agreed(mut fails: Vec<u64>, quorum: usize) -> u64 {
    fails.sort_unstable_by(|a, b| b.cmp(a));
    quorum.checked_sub(1).and_then(|index| fails.get(index)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::agreed;

    #[test]
    fn the_count_is_what_a_quorum_has_reached() {
        assert_eq!(agreed(vec![7], 1), 7, "one HA node: exactly the original's counter");
        assert_eq!(agreed(vec![7], 2), 0, "one of three sees it fail alone");
        assert_eq!(agreed(vec![1, 5, 3], 2), 3);
        assert_eq!(agreed(vec![0, 0], 2), 0);
        assert_eq!(agreed(vec![], 2), 0);
    }
}
