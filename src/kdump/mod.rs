//! Hears a host announce that its crash kernel writes a dump: the fence_kdump protocol of
//! ClusterLabs' fence-agents, UDP 7410.
//!
//! An announcement is anybody's word: it is neither signed nor secret, and a source address can be
//! forged. So nothing may follow from it but a wait that somebody else bounds; it is never a reading
//! of the power. [`message`] says what counts as one, [`port`] listens.

pub mod message;
pub mod port;

pub use port::{Port, PortError, Tally};
