//! The judge's eyes for a person's command: it looks like anybody who is no HA node, and has no vote.

use crate::clock::{BootIdError, SystemClock, boot_id};
use crate::evidence::{TcpAnchors, Witness};
use crate::run_dir;
use crate::store::Store;

/// A witness on this machine.
///
/// # Errors
/// The kernel does not say which boot this is.
pub(super) fn from_here(store: &dyn Store) -> Result<Witness<'_>, BootIdError> {
    Ok(Witness {
        store,
        clock: &SystemClock,
        anchors: &TcpAnchors,
        me: None,
        boot_id: boot_id()?.to_string(),
        run_dir: run_dir::of_the_monitor(),
    })
}
