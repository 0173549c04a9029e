//! The client of Consul against real agents, and against one that answers what another release would.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

#[path = "../support/mod.rs"]
mod support;

mod acl;
mod client;
mod faults;
