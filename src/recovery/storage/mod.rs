//! Getting at the guests' storage. [`strategy`] asks the one that this HA node has, and each says an
//! [`answer`]: [`md`] takes the host's own arrays over; [`exec`] asks a site's own program, of which [`contract`]
//! is what it is told and may answer (docs/storage-exec.md). Storage `shared` needs neither.

pub mod answer;
pub mod contract;
pub mod exec;
pub mod md;
pub mod progress;
pub mod strategy;
