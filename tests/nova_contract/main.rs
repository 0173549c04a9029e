//! The contract of the Nova client: the same calls against the simulated cloud and against real Nova.
//!
//! By default each test starts a simulated cloud of its own. With `NOVA_HA_CONTRACT` (the address of a back door, see
//! `integration/novalab/openstack/control.py`) all tests share the cloud of the surrounding `clouds.yaml`, one after
//! the other; the lab's scenario 55 runs them so against real Nova. Nothing here may know which cloud it is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, all of it"
)]

#[allow(dead_code, reason = "each test file uses its part")]
#[path = "../nova_simcloud/cloud.rs"]
mod cloud;
mod evacuations;
mod reads;
mod stage;
