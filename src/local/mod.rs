//! What this machine's own root lets the tree have run and read here: `/etc/nova-ha/local.toml`.
//!
//! Whoever may write a key of the tree (an operator's token, a Consul server, a restored snapshot) must not be root on every
//! HA node by it. So which program takes storage over, what a fence agent is told beyond what every power switch needs, and
//! which files and variables hold secrets, is asked of [`Local`] right before it is used.
//!
//! No such file is no *no*: what the tree names goes on as it did before there was one, is counted as first sight, and is
//! said until `nova-ha local adopt` was typed. A file that cannot be used is never *no restrictions*: what depends on it is
//! refused. Start at [`says`].

pub mod agents;
pub mod open;
pub mod says;
pub mod word;

pub use says::{Asked, Leave, Local, Refused, file};
pub use word::Word;
