//! Asks the storage strategy of this HA node. `None`: there is nothing to take (`shared`), or no way to
//! (a strategy that is refused, which blocks every plan).

use super::answer::Answer;
use super::contract::Verb;
use super::progress::Progress;
use super::{exec, md};
use crate::recovery::case::Case;
use crate::recovery::context::Context;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;
use crate::recovery::world::World;
use crate::tree::storage::Strategy;

/// Looks; changes nothing.
pub async fn check(world: &World, case: &Case, progress: &Progress<'_>, guests: &[String]) -> Option<Answer> {
    match &case.storage.strategy {
        Strategy::Md => Some(md::check::check(world, case, progress).await),
        Strategy::Exec { .. } => exec::ask(world, case, Verb::Check, guests, None).await,
        Strategy::Shared | Strategy::Refused { .. } => None,
    }
}

/// Takes it; the caller believes only a [`check`] afterwards.
///
/// # Errors
/// The lease or the proof of *off* is gone.
pub async fn take(
    context: &mut Context<'_>,
    guests: &[String],
    off: &mut KnownOff<'_>,
) -> Result<Option<Answer>, Stop> {
    match &context.case.storage.strategy {
        Strategy::Md => md::take::take(context, off).await.map(Some),
        Strategy::Exec { .. } => {
            let by = context.may_change(off).await?.by().to_owned();
            Ok(exec::ask(context.world, context.case, Verb::Take, guests, Some(&by)).await)
        }
        Strategy::Shared | Strategy::Refused { .. } => Ok(None),
    }
}

/// Gives it back. *Ready* is all of it.
pub async fn release(world: &World, case: &Case, guests: &[String]) -> Option<Answer> {
    match &case.storage.strategy {
        Strategy::Md => Some(md::give_back::give_back(world, case).await),
        Strategy::Exec { .. } => exec::release(world, case, guests).await,
        Strategy::Shared | Strategy::Refused { .. } => None,
    }
}

/// Where a person looks when it does not work.
pub fn place(world: &World, case: &Case) -> String {
    let keys = crate::keys::ha_node(&world.me);
    match &case.storage.strategy {
        Strategy::Md => format!("lsblk and cat /proc/mdstat on {} (docs/storage-md.md)", world.me),
        Strategy::Exec { .. } | Strategy::Shared | Strategy::Refused { .. } => {
            format!("the storage program of {} ({})", world.me, keys.storage_exec())
        }
    }
}
