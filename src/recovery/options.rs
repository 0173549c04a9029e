//! What one execution of `nova-ha-recover` is asked for.

use std::time::Duration;

use crate::names::HostName;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// This host's incident only.
    pub only: Option<HostName>,
    /// Print what would be done, and do nothing.
    pub plan_only: bool,
    /// How long one execution goes on trying an incident that it has claimed and that waits.
    pub patience: Duration,
}
