//! `nova-ha-boot-guard`: a host that boots asks whose its storage and its guests are.
//!
//! After a recovery the guests of this host run elsewhere, and its disks may be mounted there. So its
//! arrays and its nova-compute start only when Consul says that they are its own. Everything else,
//! silence included, keeps them where they are: the guard asks for as long as it takes (after a
//! power cut of the whole site Consul needs time to elect, and nobody should have to type).
//!
//! Its disks are asked too: an HA node that takes an array leaves its mark there, which no Consul that is
//! restored from a backup can forget.
//!
//! Start at [`guard`] (one question of one [`machine`], and its [`answer`]), then [`owner`] and [`disks`] (the pure
//! rules), [`ask`] and [`sight`] (what is read), [`memory`] (what this machine itself remembers) and [`word`] (a
//! person's override).

pub mod answer;
pub mod args;
pub mod ask;
pub mod disks;
mod disks_agree;
pub mod guard;
pub mod machine;
pub mod memory;
pub mod owner;
pub mod sight;
pub mod word;

pub use args::Args;
