//! The proof of *off*: a value that only a fresh reading can make.
//!
//! The steps after the fence (storage, evacuation) take a [`PoweredOff`] as an argument, so that
//! none of them can be reached by a path that did not read the power. Its fields are private, and
//! there are two ways to one: several consecutive reads of exactly *off* by one device
//! (`streak`), and a person's word with a time limit ([`ConfirmOff`]). It cannot be stored or read
//! back: evidence rots, and a resumed recovery reads the power again.
//!
//! Reads make a [`SaidOff`], which knows by which [`Channel`] they came. By one on which anyone can
//! answer, it becomes a proof only together with a [`Silence`] that was looked for after it.
//!
//! Nobody else can make one:
//!
//! ```compile_fail,E0451
//! use nova_ha::clock::BootInstant;
//! use nova_ha::fence::{Machine, PoweredOff};
//! use nova_ha::names::HostName;
//!
//! fn forge(host: HostName, now: BootInstant) -> PoweredOff {
//!     PoweredOff { machine: Machine::Host(host), read_at: now, by: String::from("me") }
//! }
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::channel::{Channel, Gap};
use super::device_off::DeviceWord;
use super::machine::{MAX_CONFIRM_TTL, Machine};
use super::silence::Silence;
use super::{Identity, PowerState, PowerSwitch, Seen};
use crate::clock::{BootInstant, Clock, TimeLimit, TimeOver};
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::tree::formats::Kind;
use crate::tree::record::Record;
use crate::tree::sign::Sign;

/// This machine was off when it was last looked at. See the module for who can make one.
#[derive(Debug)]
#[must_use]
pub struct PoweredOff {
    machine: Machine,
    read_at: BootInstant,
    by: String,
}

/// A proof that is too old to act on: the power has to be read again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the proof that {machine} is off is {age:?} old, at most {max_age:?} is allowed: read the power again"
)]
pub struct StaleProof {
    machine: String,
    age: Duration,
    max_age: Duration,
}

impl PoweredOff {
    /// The machine that was off.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Whether it is a proof about this host.
    pub fn is_of(&self, host: &HostName) -> bool {
        matches!(&self.machine, Machine::Host(name) if name == host)
    }

    /// When the last of the reads began, or when the person's word was taken.
    pub fn read_at(&self) -> BootInstant {
        self.read_at
    }

    /// Which device, or which person.
    pub fn by(&self) -> &str {
        &self.by
    }

    /// How old it is.
    pub fn age(&self, now: BootInstant) -> Duration {
        now.saturating_duration_since(self.read_at)
    }

    /// The proof itself, if it is fresh enough to act on.
    ///
    /// # Errors
    /// It is older than `max_age`.
    pub fn demand_fresh(&self, now: BootInstant, max_age: Duration) -> Result<&Self, StaleProof> {
        let age = self.age(now);
        if age > max_age {
            return Err(StaleProof { machine: self.machine.to_string(), age, max_age });
        }
        Ok(self)
    }
}

/// A device said *off*, several times in a row. Not yet a proof: see [`SaidOff::by_itself`].
#[derive(Debug)]
#[must_use]
pub struct SaidOff {
    machine: Machine,
    read_at: BootInstant,
    by: Vec<By>,
}

/// Which device said it.
#[derive(Debug)]
pub struct By {
    /// For people.
    pub device: String,
    /// Which machine the very answers that said *off* were about, as they state it; nothing where they do not.
    pub stated: Option<Identity>,
    /// It said nothing, and a person said that it carries no power.
    pub word: Option<DeviceWord>,
    channel: Channel,
}

impl By {
    /// A silent device, by a person's word.
    pub(super) fn word(device: String, word: DeviceWord) -> Self {
        let channel = Channel::Open(Gap::PersonsWord);
        Self { device, stated: None, word: Some(word), channel }
    }

    fn text(&self) -> String {
        match &self.word {
            None => self.device.clone(),
            Some(word) => format!("{} (silent, by the word of {})", self.device, word.by()),
        }
    }
}

/// An *off* that anyone on the network can have said. With nothing beside it, it proves nothing.
#[derive(Debug)]
#[must_use]
pub struct Hearsay {
    said: SaidOff,
    gap: Gap,
}

/// A silence that does not belong to an *off*: of another machine, or looked for before the power was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the silence of {machine} was looked for before its power was read, or is another machine's")]
pub struct NotItsSilence {
    machine: String,
}

impl SaidOff {
    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Which devices, for people.
    pub fn by(&self) -> String {
        let all: Vec<String> = self.by.iter().map(By::text).collect();
        all.join(" and ")
    }

    /// Which devices: all of them said so.
    pub fn devices(&self) -> &[By] {
        &self.by
    }

    /// What several devices said, each read once more since the last of them had said it: together they are one *off*.
    pub(super) fn together(said: Vec<Self>) -> Option<Self> {
        said.into_iter().reduce(|mut all, one| {
            all.read_at = all.read_at.min(one.read_at);
            all.by.extend(one.by);
            all
        })
    }

    /// The same beside silent devices that a person spoke for: at least one device was read.
    pub(super) fn beside(mut self, words: Vec<By>) -> Self {
        self.by.extend(words);
        self
    }

    /// The same after one more look at the one device that said it; nothing where that does not say *off* now, of the same machine.
    pub(super) async fn again(mut self, switch: &dyn PowerSwitch, clock: &dyn Clock) -> Option<Self> {
        let read_at = clock.boottime();
        match switch.look().await {
            Ok(Seen { power: PowerState::Off, identity }) => {
                let before = self.by.iter().find_map(|by| by.stated.as_ref());
                let is_another =
                    before.zip(identity.as_ref()).is_some_and(|(before, now)| before.contradicts(now));
                self.read_at = read_at;
                (!is_another).then_some(self)
            }
            Ok(_) | Err(_) => None,
        }
    }

    /// The proof, where the channel shows who answered.
    ///
    /// # Errors
    /// Anyone on the way can have answered: what is to be seen beside it.
    pub fn by_itself(self) -> Result<PoweredOff, Hearsay> {
        let gap = self.by.iter().find_map(|by| match by.channel {
            Channel::Shown | Channel::Agent => None,
            Channel::Open(gap) => Some(gap),
        });
        match gap {
            None => {
                let by = self.by();
                Ok(PoweredOff { machine: self.machine, read_at: self.read_at, by })
            }
            Some(gap) => Err(Hearsay { said: self, gap }),
        }
    }
}

impl Hearsay {
    /// The machine.
    pub fn machine(&self) -> &Machine {
        &self.said.machine
    }

    /// Which devices, for people.
    pub fn by(&self) -> String {
        self.said.by()
    }

    /// Why anyone can have said it.
    pub fn gap(&self) -> Gap {
        self.gap
    }

    /// The proof, with the machine's silence after it.
    ///
    /// # Errors
    /// It is no silence after it, or not of this machine.
    pub fn with(self, silence: &Silence) -> Result<PoweredOff, NotItsSilence> {
        let by = self.said.by();
        let SaidOff { machine, read_at, by: _ } = self.said;
        if !silence.is_of(&machine) || silence.began() < read_at {
            return Err(NotItsSilence { machine: machine.to_string() });
        }
        let by = format!("{by} (by {}; {})", self.gap, silence.said());
        Ok(PoweredOff { machine, read_at, by })
    }
}

/// A person's word that a host is off, as `nova-ha confirm-off` stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfirmOff {
    /// Format version.
    pub version: u64,
    /// The host.
    pub host: HostName,
    /// The incident; a word given in one never counts in another.
    pub incident: IncidentId,
    /// Who says so.
    pub by: String,
    /// When, by the wall clock of where it was said.
    pub at: jiff::Timestamp,
    /// For how long it counts.
    pub ttl_seconds: u64,
    /// What said that the host lives when the word was given: the person knew it, and named it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub although: BTreeSet<Sign>,
    /// What ended it: a sign of life that is newer than the word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
}

/// A sign of life that ended a person's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Of which kind.
    pub sign: Sign,
    /// What was seen, for people.
    pub seen: String,
    /// Which HA node saw it.
    pub by: HaNodeName,
    /// When, by its wall clock.
    pub at: jiff::Timestamp,
}

impl ConfirmOff {
    /// The version that first has all that this word says.
    pub fn since(&self) -> u64 {
        match self.although.is_empty() && self.ended.is_none() {
            true => 1,
            false => 2,
        }
    }
}

impl Record for ConfirmOff {
    const VERSION: u64 = Kind::ConfirmOff.newest();

    fn stored(&self) -> Cow<'_, Self> {
        Cow::Owned(Self { version: self.since(), ..self.clone() })
    }
}

/// Why a person's word does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmRefused {
    /// It is about something else.
    #[error("the confirmation is about {host} in {incident}, not about {wanted}")]
    Other {
        /// The host confirmed.
        host: HostName,
        /// The incident it was confirmed in.
        incident: IncidentId,
        /// The incident at hand.
        wanted: IncidentId,
    },
    /// Nobody stands behind it.
    #[error("the confirmation names nobody")]
    Nobody,
    /// Its time limit is none.
    #[error("the confirmation counts for {ttl_seconds} s: 1 s to 24 h are allowed")]
    Ttl {
        /// As stored.
        ttl_seconds: u64,
    },
    /// Its time: over, or not yet.
    #[error("the confirmation of {by}: {source}")]
    Time {
        /// Who gave it.
        by: String,
        /// Why.
        source: TimeOver,
    },
    /// The host gave a sign of life after it.
    #[error("the confirmation of {by} is over since {}: {} saw that {}", ended.at, ended.by, ended.seen)]
    Ended {
        /// Who gave it.
        by: String,
        /// What ended it.
        ended: Ended,
    },
}

impl ConfirmOff {
    /// The proof that a person's word is, while it counts: for its time by the wall clock, and by the boot clock
    /// of this machine since it `first_saw` the word. Whether something contradicts it is for the caller to see.
    ///
    /// # Errors
    /// It is about another host or incident, names nobody, was ended, is over, or lies in the future.
    pub fn proof(
        &self,
        incident: &IncidentId,
        clock: &dyn Clock,
        first_saw: BootInstant,
    ) -> Result<PoweredOff, ConfirmRefused> {
        let (host, at, ttl_seconds) = (self.host.clone(), self.at, self.ttl_seconds);
        if &self.incident != incident || &host != incident.host() {
            let wanted = incident.clone();
            return Err(ConfirmRefused::Other { host, incident: self.incident.clone(), wanted });
        }
        let by = self.by.trim();
        if by.is_empty() {
            return Err(ConfirmRefused::Nobody);
        }
        if !(1..=MAX_CONFIRM_TTL.as_secs()).contains(&ttl_seconds) {
            return Err(ConfirmRefused::Ttl { ttl_seconds });
        }
        if let Some(ended) = &self.ended {
            return Err(ConfirmRefused::Ended { by: by.to_owned(), ended: ended.clone() });
        }
        let read_at = clock.boottime();
        TimeLimit { at, ttl: Duration::from_secs(ttl_seconds) }
            .counts(first_saw, clock)
            .map_err(|source| ConfirmRefused::Time { by: by.to_owned(), source })?;
        let by = format!("confirmed off by {by} at {at}");
        Ok(PoweredOff { machine: Machine::Host(host), read_at, by })
    }
}

pub(super) mod streak;

#[cfg(test)]
mod tests;
