//! Our own client for keystone v3 and the few calls of Nova that a recovery makes.
//!
//! Start reading at [`clouds`]: where the cloud is and who we are; [`catalog`] finds Nova there.
//!
//! What it must never do: take silence for an answer. A timeout, a 5xx, a partial record or a cell
//! that is down is an error that says *cannot tell*, never an empty list and never a failure of a
//! guest. Only reads are repeated; an effect goes out once, and its error says whether it may have
//! happened ([`NovaError::effect_may_have_happened`]).

pub mod catalog;
pub mod clouds;
pub mod error;
pub mod ids;

mod clouds_file;

pub use clouds::{CloudSettings, Environment};
pub use error::{ConfigError, NovaError};
pub use ids::{Microversion, NovaHost, RequestId, ServerId, ServiceId};
