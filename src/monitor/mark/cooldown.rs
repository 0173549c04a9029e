//! Beginning a cool-down, and the local marker of a lost leader.

use std::path::Path;

use crate::clock::Clock;
use crate::evidence::Seen;
use crate::judge::guard::{Guards, Storm};
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

/// Writes the cool-down, compared with what was read: of two writers one wins, and either is right.
/// One in force is written anew only when half of it has passed, so that a storm does not become a
/// storm of writes; and one observer's doubt never takes the place of a cool-down for all.
pub async fn begin(
    store: &dyn Store,
    clock: &dyn Clock,
    seen: &Seen,
    cause: Cause,
) -> Result<bool, StoreError> {
    let length = seen.scene.policy.cooldown;
    if let Some(present) = &seen.scene.cooldown
        && let Some(left) = present.left(clock.wall())
    {
        let weaker = cause.silences().is_some() && present.cause.silences().is_none();
        let as_strong = cause.silences().is_some() || present.cause.silences().is_none();
        if weaker || (as_strong && left > length / 2) {
            return Ok(false);
        }
    }
    let cooldown =
        Cooldown { version: Cooldown::VERSION, cause, began_at: clock.wall(), seconds: length.as_secs() };
    let op = Op::replace(keys::COOLDOWN, bytes(&cooldown), seen.tree.get(keys::COOLDOWN));
    Ok(matches!(store.transact(&[op]).await?, TxnOutcome::Committed(_)))
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
