//! Getting at the guests' storage: [`contract`] is what a site's own program is told and may answer
//! (docs/storage-exec.md), [`exec`] asks it. Storage `shared` needs neither.

pub mod contract;
pub mod exec;
