//! `incidents/{id}/devices`: what the devices of a fence level answered of which one is silent. It tells a person for which device a
//! word may be given, also where the person's token may not see how the host is powered off.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::HaNodeName;
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// What the devices answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DevicesSeen {
    /// Format version.
    pub version: u64,
    /// Who asked.
    pub node: HaNodeName,
    /// When these were the answers first, by its wall clock.
    pub at: Timestamp,
    /// By which entries the tree described them then: a word is given for devices of this description.
    pub described: String,
    /// All devices of each level that has several, one of them silent.
    pub devices: Vec<DeviceSeen>,
}

impl Record for DevicesSeen {
    const VERSION: u64 = Kind::Devices.newest();
}

/// What one answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceSeen {
    /// The number of its level, from 1.
    pub level: usize,
    /// Its own number there, from 1.
    pub device: usize,
    /// Kind and address.
    pub name: String,
    /// What it said of the power.
    pub answer: DeviceAnswer,
    /// The same and the rest of it, for people.
    pub said: String,
}

/// What a device said of the power.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceAnswer {
    /// On.
    On,
    /// Off.
    Off,
    /// Neither.
    Unknown,
    /// Nothing.
    Silent,
}
