//! Real servers and recorded machines, for every test binary.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod all_keys;
pub(crate) mod consul_agent;
pub(crate) mod consul_proxy;
pub(crate) mod recorded_machine;
pub(crate) mod recorded_superblock;
pub(crate) mod recorded_tree;
pub(crate) mod sshd;
pub(crate) mod tls_bmc;

pub(crate) use nova_ha::disks::Roots;
