//! nova-ha: a dead OpenStack compute host is noticed, fenced, and its guests run again, never twice.
pub mod clock;
pub mod consul;
pub mod evidence;
pub mod exit;
pub mod fence;
pub mod incident;
pub mod judge;
pub mod keys;
pub mod logging;
pub mod monitor;
pub mod names;
pub mod nova;
pub mod policy;
pub mod program;
pub mod secret;
pub mod store;
pub mod tree;
