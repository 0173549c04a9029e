//! Whether the original may be recovering a host too: asked before the claim, and before the shot.

use super::case::Case;
use super::stop::Stop;
use super::world::World;
use crate::keys;
use crate::tree::foreign::HaNodesInUse;

/// The original writes an HA node's `in_use` before, or after, the host's `recovered`, in two requests: between them only
/// the first says that it is at work.
///
/// # Errors
/// Waiting: it may be recovering this host; or Consul does not answer.
pub async fn nobody_else_recovers_it(world: &World, case: &Case) -> Result<(), Stop> {
    let tree = |source| Stop::Tree { source };
    let failed = keys::host(case.id.host()).failed();
    let in_use = HaNodesInUse::read(world.store.as_ref()).await.map_err(tree)?;
    let failed_at = case.tree.get(&failed).map_or(0, |entry| entry.modify_index);
    match in_use.since(case.id.host(), failed_at) {
        Some(flag) => Err(Stop::Foreign { flag }),
        None => Ok(()),
    }
}
