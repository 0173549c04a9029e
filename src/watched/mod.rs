//! Who watches whom: the checks of the probes, as Consul has them on the HA nodes.
//!
//! A host that nobody probes looks exactly like a healthy one in the tree, as a healthy probe writes nothing. What is read
//! here says so, for people and for the sweep; it is never evidence, and nothing is marked on it. Start at [`sight`], which
//! is the rule; [`watch`] reads.

pub mod sight;
pub mod watch;

pub use sight::{Blind, Sight};
pub use watch::{Agent, Watch, Watcher};

/// The Consul service that all generated checks belong to (`consul-watches/consul/*.json`).
pub const SERVICE: &str = "nova-ha";

/// Id of the sweep's check on each HA node.
pub const SWEEP_ID: &str = "nova-ha-mark-failed";

/// Id of the check by which an HA node probes a machine.
pub fn probe_id(machine: &str) -> String {
    format!("nova-ha-probe:{machine}")
}
