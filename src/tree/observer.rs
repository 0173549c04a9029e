//! `internal/observers/{ha-node}`: evidence, written by the probe itself while a machine fails.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::formats::Kind;
use super::record::Record;
use crate::names::{Epoch, HaNodeName, HostName};

/// What one plane answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlaneAnswer {
    /// The machine answered on this plane.
    Healthy,
    /// It did not answer, or not as a healthy machine does.
    Failed,
    /// The probe could not find out (no credentials, own fault): never counted as a failure.
    CannotTell,
}

/// One plane of one machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlaneRecord {
    /// What the last probe found.
    pub answer: PlaneAnswer,
    /// Consecutive failed probes of this plane; *cannot tell* neither raises nor clears it.
    pub fails: u64,
}

/// The life of the observer that wrote a record: lets the same machine tell how old its own
/// record is without a wall clock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverLife {
    /// `/proc/sys/kernel/random/boot_id` of the observer.
    pub boot_id: String,
    /// CLOCK_BOOTTIME of the observer at the write, in milliseconds.
    pub boottime_ms: u64,
    /// Whether the observer has seen this machine healthy since its own start, and since `leaderless_ms`.
    pub seen_healthy: bool,
    /// CLOCK_BOOTTIME in milliseconds at which the observer's Consul had no leader for the last time, if it had none for
    /// longer than an election in this boot: from then on it is as if the observer had started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaderless_ms: Option<u64>,
}

/// One observer's view of one machine. Written alone, by its only writer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ObserverRecord {
    /// Format version.
    pub version: u64,
    /// Who writes.
    pub observer: HaNodeName,
    /// Epoch of the machine when the probe began; votes of another epoch never count.
    pub epoch: Epoch,
    /// Rises by one with every write.
    pub sequence: u64,
    /// Consecutive failed probes of the plane that fails longest; 0 in the one write that says
    /// *healthy again*.
    pub fails: u64,
    /// Fails at which this observer's check turns critical.
    pub threshold: u64,
    /// What each plane answered, by its name.
    pub planes: BTreeMap<String, PlaneRecord>,
    /// Milliseconds between two probes as the check is configured.
    pub interval_ms: u64,
    /// Consul's ModifyIndex of this record's own last writes, oldest first: the yardstick by which
    /// this observer judges how fresh the others are.
    pub indices: Vec<u64>,
    /// The observer's life.
    pub life: ObserverLife,
    /// Other hosts that this observer saw healthy within its last probe of each, as far as [`MOST_HEALTHY`]: the anchor
    /// where two hosts fail at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sees_healthy: Vec<HostName>,
    /// The SSH host key by which this observer knows the machine, where nobody bound one and it published none: the one that
    /// let the observer in at first, `TYPE BASE64`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_seen_key: Option<String>,
    /// Wall clock, for people.
    pub at: Timestamp,
    /// One line on what failed, for people.
    pub why: String,
}

impl Record for ObserverRecord {
    const VERSION: u64 = Kind::Observer.newest();

    fn stored(&self) -> Cow<'_, Self> {
        let uses_nothing_new = self.sees_healthy.is_empty() && self.life.leaderless_ms.is_none();
        let version = match (&self.first_seen_key, uses_nothing_new) {
            (Some(_), _) => 3,
            (None, false) => 2,
            (None, true) => 1,
        };
        Cow::Owned(Self { version, ..self.clone() })
    }
}

/// How many healthy hosts a record names. They are the first by name, so that all observers name the same.
pub const MOST_HEALTHY: usize = 8;

/// How many own indices a record keeps: freshness looks two or three intervals back.
pub const KEPT_INDICES: usize = 4;
