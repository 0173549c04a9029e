//! Who may say that a host is dead: pure rules over plain data.
//!
//! Nothing here reads anything. [`scene`] is what was read, [`freshness`] tells a live record from
//! an old one by Consul's index, [`votes`] decides whether one observer's record counts,
//! [`quorum`] who may vote and how many must, [`verdict`] whether a machine is dead, [`guard`] whether so many can be
//! believed ([`limit`] how many, [`second`] what more than one of few needs), and [`decision`] puts the gates in order
//! for marking. *Cannot tell* is never *dead* and never *healthy*.

pub mod decision;
pub mod freshness;
pub mod guard;
pub mod limit;
pub mod quorum;
pub mod scene;
pub mod second;
pub mod verdict;
pub mod votes;

#[cfg(test)]
mod tests;

pub use decision::{Decision, decide};
pub use scene::{Observer, Scene, Subject};
pub use verdict::{Verdict, judge};
