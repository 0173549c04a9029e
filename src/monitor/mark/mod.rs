//! `nova-ha-mark-failed`: judges, and opens incidents. It can power nothing off.
//!
//! What arrives on stdin is a hint ([`hint`]); the truth is read again ([`crate::evidence`]),
//! judged by pure rules ([`crate::judge`]) and written in one transaction ([`open`]). [`run()`] puts
//! them in order and prints one line per host, also for *no, because*.

pub mod args;
pub mod cooldown;
pub mod error;
pub mod ha_nodes;
pub mod hint;
mod lines;
pub mod open;
pub mod order;
pub mod report;
pub mod request;
pub mod run;
pub mod standing;
pub mod sweep;

pub use args::Args;
pub use error::MarkError;
pub use request::Request;
pub use run::run;
