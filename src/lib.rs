//! nova-ha: a dead OpenStack compute host is noticed, fenced, and its guests run again, never twice.
pub mod names;
pub mod store;
