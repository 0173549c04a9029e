//! What the keys of the tree mean: typed records, read strictly.
//!
//! *Denied reads look empty* in Consul, so nothing here turns an absent answer into a fact about a
//! machine without the sentinel ([`meta`]) being visible in the same answer. A value that cannot
//! be understood is an error that names its key, never a default.
//!
//! Start at [`snapshot`] (reading a part of the tree at one index), then [`observer`] (evidence),
//! [`machine`] (configuration) and [`flag`] (the original's booleans).

pub mod boot_guard;
pub mod bound;
pub mod cooldown;
pub mod error;
pub mod first_sight;
pub mod flag;
pub mod foreign;
pub mod formats;
pub mod host_keys;
pub mod incidents;
pub mod machine;
pub mod maintenance;
pub mod meta;
pub mod namesake;
pub mod nova_names;
pub mod observer;
pub mod published;
pub mod record;
pub mod returning;
pub mod runtime_config;
pub mod seen_keys;
pub mod sign;
pub mod snapshot;
pub mod storage;

pub use error::TreeError;
pub use snapshot::Snapshot;
