//! Recoveries in a simulated world: the product's own code behind its seams, and a fault at every
//! single call.
//!
//! `time` runs futures on a clock that jumps from timer to timer, `consul` is the key-value store
//! with Consul's own rules, `universe` is what is really so and writes down every safety rule that
//! is broken, `seams` counts calls and lets one of them go wrong, `stage` is what the tests say.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

mod adoption;
mod arrays;
mod boots;
mod claims;
mod cloud;
mod consul;
mod crashes;
mod disks;
mod dumps;
mod feeds;
mod formats;
mod guards;
mod hearsay;
mod keystone;
mod late;
mod lease;
mod long_runs;
mod marking;
mod md;
mod opened;
mod orders;
mod original;
mod reader_7763f26;
mod reports;
mod reservations;
mod returning;
mod schedules;
mod seams;
mod stage;
mod states;
mod storage;
mod tenants;
mod through;
mod time;
mod twins;
mod universe;
mod waits;
mod whose;
mod words;
