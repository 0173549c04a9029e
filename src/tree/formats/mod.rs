//! Which versions of the stored records every configured HA node reads, so that an upgrade can roll.
//!
//! Each HA node publishes what it reads at `ha_nodes/{ha-node}/internal/formats` ([`published`]). [`Formats`] folds
//! that to the lowest of each kind of record; a writer asks it before it writes what an older build refuses:
//!
//! ```ignore
//! formats.allows(Kind::Incident, 2)?; // or leave the field out, where its absence is read safely
//! ```
//!
//! An HA node that has published nothing counts as the build 7763f26, the last one before there were versions to
//! publish. What is said in docs/formats.md: how a field is added, and what each version added.
//!
//! Start at [`kind`], the one table of versions.
//!
//! Must never guess: a node whose formats cannot be read counts as that old build too.

pub mod kind;
pub mod lowest;
pub mod published;
pub mod shown;

pub use kind::Kind;
pub use lowest::{Behind, Formats, HeldBack};
