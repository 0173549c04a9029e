//! What one HA node does rarely: when it did it last is remembered until its next boot.

use std::path::PathBuf;
use std::time::Duration;

use super::world::World;
use crate::clock::BootInstant;
use crate::own_files::{self, OwnFileError};

/// Where it is remembered.
pub(super) fn file(world: &World, what: &str) -> PathBuf {
    world.run_dir.join(what)
}

/// Whether this machine has not done it for so long in this boot; from now on it has.
///
/// # Errors
/// It cannot be remembered: it would be done in every run.
pub(super) fn is_due(world: &World, what: &str, every: Duration) -> Result<bool, OwnFileError> {
    let now = world.clock.boottime().saturating_duration_since(BootInstant::since_boot(Duration::ZERO));
    let last = own_files::text(&world.run_dir, what).and_then(|text| {
        let (boot, millis) = text.trim().split_once(' ')?;
        (boot == world.boot_id).then_some(())?;
        millis.parse().ok().map(Duration::from_millis)
    });
    if last.is_some_and(|last| now.saturating_sub(last) < every) {
        return Ok(false);
    }
    own_files::write_whole(&world.run_dir, what, &format!("{} {}\n", world.boot_id, now.as_millis()))?;
    Ok(true)
}
