//! By which SSH host keys a machine is known, and by whose word.

use super::machine::SshAccess;
use super::published::Published;

/// The keys, one OpenSSH public key a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostKeys {
    /// An operator's (`config/ssh/host_key`): one that cannot be understood is a fault.
    Bound(Vec<String>),
    /// The machine's own word: a line that cannot be understood is none.
    Published(Vec<String>),
    /// None.
    Unknown,
}

impl HostKeys {
    /// What an operator bound; what the machine published only where nothing is bound.
    pub fn of(access: &SshAccess, published: &Published) -> Self {
        if !access.host_keys.is_empty() {
            return HostKeys::Bound(access.host_keys.clone());
        }
        match published.ssh_host_keys() {
            Ok(lines) if !lines.is_empty() => HostKeys::Published(lines),
            Ok(_) | Err(_) => HostKeys::Unknown,
        }
    }
}
