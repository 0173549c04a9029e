//! The devices that can cut a machine's power, in the order to try them.
//!
//! Each level is one device, or several that all have to be off: a machine with two feeds lives on the other one. The next level is
//! tried when the one before could not *prove* the machine off within its deadline. [`config`](super::config) makes them of the tree.

use std::time::Duration;

use super::spot::Spot;
use super::{Confirmed, Machine, PowerSwitch};

/// One device.
pub struct Device {
    switch: Box<dyn PowerSwitch>,
    confirmed: Option<Confirmed>,
    spot: Spot,
}

impl Device {
    /// A device, with a person's word about whose it is.
    pub fn new(switch: Box<dyn PowerSwitch>, confirmed: Option<Confirmed>) -> Self {
        // Until it stands in a machine's levels.
        Self { switch, confirmed, spot: Spot { level: 1, device: None } }
    }

    /// What talks to it.
    pub fn switch(&self) -> &dyn PowerSwitch {
        self.switch.as_ref()
    }

    /// Where it stands in the machine's levels, also after some of them were left out.
    pub fn spot(&self) -> Spot {
        self.spot
    }

    /// Who said that it belongs to the machine, where it cannot say so itself.
    pub fn confirmed(&self) -> Option<&Confirmed> {
        self.confirmed.as_ref().filter(|word| !word.by.trim().is_empty())
    }
}

/// Devices that all have to be off, and how long they have.
pub struct Level {
    devices: Vec<Device>,
    deadline: Option<Duration>,
}

impl Level {
    /// A level of one device; without a deadline, the policy's counts.
    pub fn new(switch: Box<dyn PowerSwitch>, deadline: Option<Duration>) -> Self {
        Self::of(vec![Device::new(switch, None)], deadline)
    }

    /// A level of these devices.
    pub fn of(devices: Vec<Device>, deadline: Option<Duration>) -> Self {
        Self { devices, deadline }
    }

    /// Its devices.
    pub fn devices(&self) -> &[Device] {
        &self.devices
    }

    /// Wall clock to prove *off*, where the level has one of its own.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// All of its devices, for people.
    pub fn describe(&self) -> String {
        let all: Vec<String> = self.devices.iter().map(|device| device.switch().describe()).collect();
        all.join(" and ")
    }
}

/// The devices that can cut one machine's power, in the order to try them.
pub struct FenceLevels {
    machine: Machine,
    levels: Vec<Level>,
    described: String,
}

impl FenceLevels {
    /// The levels of a machine.
    pub fn new(machine: impl Into<Machine>, mut levels: Vec<Level>) -> Self {
        for (number, level) in (1..).zip(&mut levels) {
            let several = level.devices.len() > 1;
            for (own, device) in (1..).zip(&mut level.devices) {
                device.spot = Spot { level: number, device: several.then_some(own) };
            }
        }
        Self { machine: machine.into(), levels, described: String::new() }
    }

    /// The same with how the tree described them, see [`as_described`](super::device_off::as_described).
    #[must_use]
    pub fn as_described(self, described: String) -> Self {
        Self { described, ..self }
    }

    /// Whether a level has several devices: for one of these a person may speak.
    pub fn have_several(&self) -> bool {
        self.levels.iter().any(|level| level.devices.len() > 1)
    }

    /// How the tree described them when they were made.
    pub fn described(&self) -> &str {
        &self.described
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

    /// All devices of all levels.
    pub fn devices(&self) -> impl Iterator<Item = &Device> {
        self.levels.iter().flat_map(Level::devices)
    }
}
