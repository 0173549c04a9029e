//! `nova-ha-runtime-info`: a host publishes what a recovery of it will need, while it lives.
//!
//! What it must never do: publish a guess. What cannot be read keeps its published value if there is
//! one, and is named in the check's line; a document of a newer version is not touched; a host that
//! nobody added is not made.
//!
//! Start at [`publish()`], then [`collect`] and [`arrays`] (what this machine says) and [`merge`] (the pure rule).

pub mod args;
pub mod arrays;
pub mod collect;
pub mod last;
pub mod merge;
pub mod nova_conf;
pub mod publish;

pub use args::Args;
pub use publish::{Report, publish};
