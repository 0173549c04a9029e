//! The Nova client against the simulated cloud of the lab, as a process of its own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

mod cloud;
mod evacuations;
mod faults;
mod late;
mod login;
mod reads;
mod rooms;
mod states;
