//! The devices that can cut a machine's power, in the order to try them.
//!
//! Each level is one device. The next is tried when the one before could not *prove* the machine
//! off within its deadline. [`config`](super::config) makes them of the tree.

use std::time::Duration;

use super::{Confirmed, Machine, PowerSwitch};

/// One device and how long it has.
pub struct Level {
    pub(super) switch: Box<dyn PowerSwitch>,
    pub(super) deadline: Option<Duration>,
    pub(super) confirmed: Option<Confirmed>,
}

impl Level {
    /// A level; without a deadline, the policy's counts.
    pub fn new(switch: Box<dyn PowerSwitch>, deadline: Option<Duration>) -> Self {
        Self { switch, deadline, confirmed: None }
    }

    /// The same with a person's word about whose the device is.
    #[cfg(test)]
    pub(crate) fn confirmed_by(switch: Box<dyn PowerSwitch>, confirmed: Option<Confirmed>) -> Self {
        Self { switch, deadline: None, confirmed }
    }

    /// The device.
    pub fn switch(&self) -> &dyn PowerSwitch {
        self.switch.as_ref()
    }

    /// Wall clock to prove *off*, where the level has one of its own.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Who said that the device belongs to the machine, where it cannot say so itself.
    pub fn confirmed(&self) -> Option<&Confirmed> {
        self.confirmed.as_ref().filter(|word| !word.by.trim().is_empty())
    }
}

/// The devices that can cut one machine's power, in the order to try them.
pub struct FenceLevels {
    machine: Machine,
    levels: Vec<Level>,
}

impl FenceLevels {
    /// The levels of a machine.
    pub fn new(machine: impl Into<Machine>, levels: Vec<Level>) -> Self {
        Self { machine: machine.into(), levels }
    }

    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Keeps only the levels that may be used, by position; a level that nobody vouched for goes.
    pub fn keep(&mut self, usable: &[bool]) {
        let mut usable = usable.iter().copied();
        self.levels.retain(|_| usable.next().unwrap_or(false));
    }

    /// The levels, in order.
    pub fn levels(&self) -> &[Level] {
        &self.levels
    }
}
