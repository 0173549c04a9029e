//! Reads the truth that the judge judges on: the same for `mark-failed` and for the look right
//! before the shot.
//!
//! It reads in a number of requests that does not grow with the number of hosts, only with the
//! number of suspects ([`look()`]), asks for the anchor when one is needed ([`anchor`]) and, where
//! no record of our own tells the age of another, waits until its sequence rises ([`wait`]).
//! It writes nothing to the tree. It never reads a secret: names come from key listings, never from a
//! recursive read over the hosts.

pub mod anchor;
pub mod cooling;
pub mod error;
pub mod first_seen;
pub mod look;
mod pins;
pub mod planes;
pub mod signs;
pub mod stranded;
mod testimonies;
mod unchanged;
pub mod wait;
mod witness;

pub use anchor::{Anchors, TcpAnchors};
pub use error::EvidenceError;
pub use look::{About, Seen, look};
pub use pins::Pins;
pub use witness::Witness;
