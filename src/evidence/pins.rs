//! The SSH host keys that a machine is known by, ready to be compared.

use crate::chain::chain;
use crate::keys::MachineKeys;
use crate::ssh::PinnedKey;
use crate::tree::host_keys::HostKeys;
use crate::tree::machine::SshAccess;
use crate::tree::published::Published;
use crate::tree::{Snapshot, TreeError};

/// The keys of one machine: an operator's, or else those that it published. What of its own word cannot be understood is no
/// key: without one nobody says of an answer whose it is.
///
/// # Errors
/// A key that an operator bound cannot be understood.
pub fn pins(snapshot: &Snapshot, keys: &MachineKeys, ssh: &SshAccess) -> Result<Vec<PinnedKey>, TreeError> {
    match HostKeys::of(ssh, &Published::of(snapshot, keys)) {
        HostKeys::Bound(lines) => PinnedKey::parse_all(&lines)
            .map_err(|why| TreeError::Malformed { key: keys.ssh_field("host_key"), why: chain(&why) }),
        HostKeys::Published(lines) => Ok(PinnedKey::parse_known(&lines)),
        HostKeys::Unknown => Ok(Vec::new()),
    }
}
