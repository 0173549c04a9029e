//! A person's word that one silent device of a fence level carries no power (`nova-ha confirm-off --device`).
//!
//! A PDU that died with its feed says nothing, and its feed is off. Of a level with several devices a person may speak for such
//! a device; the others are read by the machine as ever, and a level of which nothing was read is not proved by words. What
//! they make together is no proof alone: the machine has to be silent beside it
//! ([`Gap::PersonsWord`](super::Gap::PersonsWord)).
//!
//! The word is about the device as the tree describes it then ([`as_described`]): whoever changes how the machine's power is reached, or
//! whose it is, ends it. A device that answers speaks for itself: *off* is read, and anything else ends the word.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::machine::MAX_CONFIRM_TTL;
use super::spot::OneOf;
use crate::clock::{BootInstant, Clock, TimeLimit, TimeOver};
use crate::keys::MachineKeys;
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::tree::Snapshot;
use crate::tree::formats::Kind;
use crate::tree::record::Record;

/// By which entries the tree describes how a machine is powered off, and whose its devices are: each with Consul's index, which
/// changes with it. Nothing of what they say: secrets are among it.
pub fn as_described(tree: &Snapshot, keys: &MachineKeys) -> String {
    let (config, fence, bound) = (keys.config(), keys.fence(), keys.bound());
    let entries = tree
        .below(&config)
        .filter(|entry| entry.key == fence || entry.key == bound || entry.key.starts_with(&keys.bmc()));
    let one = |entry: &crate::store::Entry| {
        format!("{}@{}", entry.key.strip_prefix(&config).unwrap_or(&entry.key), entry.modify_index)
    };
    entries.map(one).collect::<Vec<_>>().join(" ")
}

/// The word, as `nova-ha confirm-off --device` stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceOff {
    /// Format version.
    pub version: u64,
    /// The host.
    pub host: HostName,
    /// The incident; a word given in one never counts in another.
    pub incident: IncidentId,
    /// The level, from 1.
    pub level: usize,
    /// The device there, from 1.
    pub device: usize,
    /// What it is called, for people.
    pub name: String,
    /// As what the tree describes it: see [`as_described`].
    pub described: String,
    /// Who says so.
    pub by: String,
    /// When, by the wall clock of where it was said.
    pub at: Timestamp,
    /// For how long it counts.
    pub ttl_seconds: u64,
    /// What ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<DeviceHeard>,
}

impl Record for DeviceOff {
    const VERSION: u64 = Kind::DeviceOff.newest();
}

/// What ended a person's word for a device: the device answered, or the host lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceHeard {
    /// What was seen, for people.
    pub seen: String,
    /// Which HA node saw it.
    pub by: HaNodeName,
    /// When, by its wall clock.
    pub at: Timestamp,
}

/// Why a person's word for a device does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceRefused {
    /// It is about something else.
    #[error("a word for a device is about {of} in {incident}, not about this one")]
    Other {
        /// The device.
        of: OneOf,
        /// The incident.
        incident: IncidentId,
    },
    /// Nobody stands behind it.
    #[error("the word for device {of} names nobody")]
    Nobody {
        /// The device.
        of: OneOf,
    },
    /// Its time limit is none.
    #[error("the word for device {of} counts for {ttl_seconds} s: 1 s to 24 h are allowed")]
    Ttl {
        /// The device.
        of: OneOf,
        /// As stored.
        ttl_seconds: u64,
    },
    /// How the machine is powered off was changed since.
    #[error(
        "the word of {by} for device {of} is older than how the machine's power is reached: say it again"
    )]
    Changed {
        /// The device.
        of: OneOf,
        /// Who gave it.
        by: String,
    },
    /// Its time: over, or not yet.
    #[error("the word of {by} for device {of}: {source}")]
    Time {
        /// The device.
        of: OneOf,
        /// Who gave it.
        by: String,
        /// Why.
        source: TimeOver,
    },
    /// The device answered after it, or the host gave a sign of life.
    #[error("the word of {by} for device {of} is over since {}: {} saw that {}", heard.at, heard.by, heard.seen)]
    Ended {
        /// The device.
        of: OneOf,
        /// Who gave it.
        by: String,
        /// What ended it.
        heard: DeviceHeard,
    },
}

impl DeviceOff {
    /// Which device.
    pub fn of(&self) -> OneOf {
        OneOf { level: self.level, device: self.device }
    }

    /// The word, while it counts: for the device that stands there, as the tree describes it now, for its time by the wall clock
    /// and by the boot clock of this machine since it `first_saw` it. Whether the host lives is for the caller to see.
    ///
    /// # Errors
    /// It is about something else, names nobody, was ended, is over, lies in the future, or is of another description.
    pub fn counts(
        &self,
        about: (&IncidentId, OneOf),
        described: &str,
        clock: &dyn Clock,
        first_saw: BootInstant,
    ) -> Result<DeviceWord, DeviceRefused> {
        let (of, by) = (self.of(), self.by.trim().to_owned());
        if (&self.incident, of) != about || &self.host != about.0.host() {
            return Err(DeviceRefused::Other { of, incident: self.incident.clone() });
        }
        if by.is_empty() {
            return Err(DeviceRefused::Nobody { of });
        }
        let ttl_seconds = self.ttl_seconds;
        if !(1..=MAX_CONFIRM_TTL.as_secs()).contains(&ttl_seconds) {
            return Err(DeviceRefused::Ttl { of, ttl_seconds });
        }
        if let Some(heard) = &self.ended {
            return Err(DeviceRefused::Ended { of, by, heard: heard.clone() });
        }
        // No description is of no device.
        if self.described.is_empty() || self.described != described {
            return Err(DeviceRefused::Changed { of, by });
        }
        TimeLimit { at: self.at, ttl: Duration::from_secs(ttl_seconds) }
            .counts(first_saw, clock)
            .map_err(|source| DeviceRefused::Time { of, by: by.clone(), source })?;
        Ok(DeviceWord { of, by: format!("{by} at {}", self.at) })
    }
}

/// A word that counts now. Made by [`DeviceOff::counts`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceWord {
    of: OneOf,
    by: String,
}

impl DeviceWord {
    /// Which device.
    pub fn of(&self) -> OneOf {
        self.of
    }

    /// Who gave it and when, for people.
    pub fn by(&self) -> &str {
        &self.by
    }
}

/// The words that count for a machine's devices now, and what was heard of these devices meanwhile.
#[derive(Debug, Default)]
pub struct DeviceWords {
    words: Vec<DeviceWord>,
    heard: Mutex<BTreeMap<OneOf, String>>,
}

impl DeviceWords {
    /// Those.
    pub fn of(words: Vec<DeviceWord>) -> Self {
        Self { words, heard: Mutex::default() }
    }

    /// The word for a device, if it has not answered since.
    pub fn word(&self, of: Option<OneOf>) -> Option<&DeviceWord> {
        let word = self.words.iter().find(|word| Some(word.of) == of)?;
        (!self.lock().contains_key(&word.of)).then_some(word)
    }

    /// It answered, and not *off*: from now on its word is none.
    pub fn answered(&self, of: OneOf, said: String) {
        self.lock().entry(of).or_insert(said);
    }

    /// What was heard of which, to be written into the words.
    pub fn heard(&self) -> BTreeMap<OneOf, String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<OneOf, String>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
