//! The clients of what a recovery switches and asks: BMCs, fence agents, sshd, kdump. On real parts where they run here.
//!
//! `real` starts them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod ipmi;
mod kdump_port;
mod levels;
mod pins;
mod real;
mod redfish;
mod redfish_wild;
mod ssh_login;
