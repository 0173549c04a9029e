//! The executables as Consul, systemd, cron and people run them, against a real Consul.
//!
//! `site` is a Consul with the tree that `nova-ha init` makes, `open_incident` and `recovered_host` put an incident into it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

#[allow(dead_code, reason = "the tests of the client use the rest")]
#[path = "../nova_simcloud/cloud.rs"]
mod cloud;
#[path = "../support/mod.rs"]
mod support;

mod bad_input;
mod bmc;
mod boot_guard;
mod checks_of_a_service;
mod consul_words;
mod core_dumps;
mod guests;
mod incidents;
mod local;
mod machines;
mod on_call;
mod open_incident;
mod original_tree;
mod other_users;
mod probe;
mod recover;
mod recovered_host;
mod rejoin;
mod requests;
mod runtime_info;
mod shipped_units;
mod site;
mod standing;
mod status;
mod storage_exec;
mod swap_roles;
mod token_matrix;
mod watches_files;
