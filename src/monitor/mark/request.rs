//! What one execution of `nova-ha-mark-failed` is asked for.

use super::order::Asked;
use crate::names::HostName;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Request {
    /// Hosts named by hand; empty for a watch or a sweep.
    pub hosts: Vec<HostName>,
    /// A person's own order for the named hosts.
    pub order: Option<Asked>,
    /// Look at every host: what is unprotected is said, and a `failed` written by hand gets its
    /// incident.
    pub sweep: bool,
    /// Name of this machine, for the record.
    pub machine: String,
}
