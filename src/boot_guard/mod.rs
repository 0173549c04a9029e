//! `nova-ha-boot-guard`: a host that boots asks whose its storage and its guests are.
//!
//! After a recovery the guests of this host run elsewhere, and its disks may be mounted there. So its
//! arrays and its nova-compute start only when Consul says that they are its own. Everything else,
//! silence included, keeps them where they are: the guard asks for as long as it takes (after a
//! power cut of the whole site Consul needs time to elect, and nobody should have to type).
//!
//! Start at [`guard`] (the loop), then [`owner`] (the pure rule), [`ask`] (what it reads) and
//! [`memory`] (what this machine itself remembers).

pub mod args;
pub mod ask;
pub mod guard;
pub mod memory;
pub mod owner;

pub use args::Args;
