//! Beginning a cool-down, and the local marker of a lost leader.

use std::path::Path;
use std::time::Duration;

use crate::clock::Clock;
use crate::evidence::Seen;
use crate::judge::guard::{Guards, Storm};
use crate::judge::scene::Cooling;
use crate::keys;
use crate::names::HaNodeName;
use crate::store::{Op, Store, StoreError, TxnOutcome};
use crate::tree::cooldown::{Cause, Cooldown};
use crate::tree::record::{Record, bytes};

/// Left in the run folder by whoever met a Consul without a leader; the next marker that finds one
/// again turns it into a cool-down.
pub const LEADER_LOST: &str = "leader-lost";

/// What the guards call for, if anything.
pub fn cause(guards: &Guards, me: Option<&HaNodeName>, leader_was_lost: bool) -> Option<Cause> {
    if let Some(Storm { counted, limit, .. }) = guards.storm {
        return Some(Cause::Storm { counted, limit });
    }
    if leader_was_lost {
        return Some(Cause::LeaderLost);
    }
    me.filter(|me| guards.doubtful.contains(*me)).map(|me| Cause::SelfDoubt { observer: me.clone() })
}

/// Writes the cool-down, compared with what was read. One in force is written anew only when half of
/// it has passed, so that a storm does not become a storm of writes; and one observer's doubt takes
/// the place of neither a cool-down for all nor of another observer's. Says whether this cause has its
/// cool-down now; where somebody else wrote meanwhile (or removed one that was over) it has not yet.
pub async fn begin(
    store: &dyn Store,
    clock: &dyn Clock,
    seen: &Seen,
    cause: Cause,
) -> Result<bool, StoreError> {
    let length = seen.scene.policy.cooldown;
    if let Some(present) = seen.scene.cooling.as_ref().filter(|c| c.is_on()) {
        match beside(present, &cause, length) {
            Beside::Covered => return Ok(true),
            Beside::InTheWay => return Ok(false),
            Beside::Replaces => {}
        }
    }
    let cooldown =
        Cooldown { version: Cooldown::VERSION, cause, began_at: clock.wall(), seconds: length.as_secs() };
    let op = Op::replace(keys::COOLDOWN, bytes(&cooldown), seen.tree.get(keys::COOLDOWN));
    Ok(matches!(store.transact(&[op]).await?, TxnOutcome::Committed(_)))
}

/// What a new cause is to a cool-down in force.
#[derive(Debug, PartialEq, Eq)]
enum Beside {
    /// It is in force for this cause as well.
    Covered,
    /// It is another observer's, whose votes must rest on.
    InTheWay,
    /// It is written anew.
    Replaces,
}

fn beside(present: &Cooling, cause: &Cause, length: Duration) -> Beside {
    match (present.cause.silences(), cause.silences()) {
        (None, Some(_)) => Beside::Covered,
        (Some(resting), Some(doubtful)) if resting != doubtful => Beside::InTheWay,
        (Some(_), Some(_)) | (None, None) if present.left > length / 2 => Beside::Covered,
        (Some(_), Some(_)) | (None, None) | (Some(_), None) => Beside::Replaces,
    }
}

/// Removes a cool-down that this machine has counted to its end, unless somebody wrote it anew.
pub async fn end(store: &dyn Store, seen: &Seen) -> Result<(), StoreError> {
    let over = seen.scene.cooling.as_ref().is_some_and(|c| !c.is_on());
    if let (true, Some(entry)) = (over, seen.tree.get(keys::COOLDOWN)) {
        store.transact(&[Op::DeleteCas(keys::COOLDOWN.into(), entry.modify_index)]).await?;
    }
    Ok(())
}

/// Leaves the marker. Best effort: where the folder cannot be written the lost leader is only logged.
pub fn leave_marker(run_dir: &Path) {
    let path = run_dir.join(LEADER_LOST);
    if let Err(error) = std::fs::create_dir_all(run_dir).and_then(|()| std::fs::write(&path, b"")) {
        tracing::warn!(path = %path.display(), %error, "Consul has no leader, and this cannot be remembered");
    }
}

/// Whether a leader was lost since the last cool-down.
pub fn marker_is_there(run_dir: &Path) -> bool {
    run_dir.join(LEADER_LOST).exists()
}

/// Removes the marker, once its cool-down is written.
pub fn remove_marker(run_dir: &Path) {
    if let Err(error) = std::fs::remove_file(run_dir.join(LEADER_LOST))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "cannot remove the marker of a lost leader: another cool-down will follow");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cause_takes_the_place_of_a_stronger_one_or_of_another_observers() {
        let doubt = |name: &str| Cause::SelfDoubt { observer: name.parse().unwrap() };
        let length = Duration::from_secs(900);
        let found = |present: Cause, left: u64, cause: &Cause| {
            beside(&Cooling { cause: present, left: Duration::from_secs(left) }, cause, length)
        };
        for left in [1, 450, 900] {
            assert_eq!(found(Cause::LeaderLost, left, &doubt("ha1")), Beside::Covered, "{left}");
            assert_eq!(found(doubt("ha1"), left, &doubt("ha2")), Beside::InTheWay, "{left}");
            assert_eq!(found(doubt("ha1"), left, &Cause::LeaderLost), Beside::Replaces, "{left}");
        }
        for cause in [Cause::LeaderLost, doubt("ha1")] {
            assert_eq!(found(cause.clone(), 451, &cause), Beside::Covered);
            assert_eq!(found(cause.clone(), 450, &cause), Beside::Replaces, "half of it has passed");
        }
    }
}
