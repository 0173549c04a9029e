//! The proof of *off*: a value that only a fresh reading can make.
//!
//! The steps after the fence (storage, evacuation) take a [`PoweredOff`] as an argument, so that
//! none of them can be reached by a path that did not read the power. Its fields are private, and
//! there are two ways to one: several consecutive reads of exactly *off* by one device, made in
//! this file, and a person's word with a time limit ([`ConfirmOff`]). It cannot be stored or read
//! back: evidence rots, and a resumed recovery reads the power again.
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
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{FenceError, PowerState, PowerSwitch};
use crate::clock::{BootInstant, Clock, TimeLimit, TimeOver};
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::tree::formats::Kind;
use crate::tree::record::Record;
use crate::tree::sign::Sign;

/// What can be fenced: a compute host, or the HA node that held its storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Machine {
    /// A compute host.
    Host(HostName),
    /// An HA node.
    HaNode(HaNodeName),
}

impl From<HostName> for Machine {
    fn from(name: HostName) -> Self {
        Self::Host(name)
    }
}

impl From<HaNodeName> for Machine {
    fn from(name: HaNodeName) -> Self {
        Self::HaNode(name)
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => name.fmt(f),
            Self::HaNode(name) => name.fmt(f),
        }
    }
}

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

/// Two reads at least: one may fall into a restart, in which the power is off for a moment.
const LEAST_READS: u32 = 2;

/// Consecutive reads of *off* by one device.
pub(super) struct Streak {
    machine: Machine,
    by: String,
    needed: u32,
    seen: u32,
}

/// One look at the power.
#[derive(Debug)]
pub(super) enum Look {
    /// Enough consecutive reads of *off*: the proof.
    Proved(PoweredOff),
    /// An answer that is not (yet) a proof.
    Seen(PowerState),
    /// No answer.
    Failed(FenceError),
}

impl Streak {
    pub(super) fn new(machine: Machine, switch: &dyn PowerSwitch, needed: u32) -> Self {
        Self { machine, by: switch.describe(), needed: needed.max(LEAST_READS), seen: 0 }
    }

    /// How many consecutive reads said *off* so far.
    pub(super) fn seen(&self) -> u32 {
        self.seen
    }

    /// Reads once more. Anything but *off* starts the count anew, also a read that was given up on.
    pub(super) async fn look(&mut self, switch: &dyn PowerSwitch, clock: &dyn Clock) -> Look {
        let read_at = clock.boottime();
        let before = std::mem::take(&mut self.seen);
        match switch.read().await {
            Ok(PowerState::Off) => {
                self.seen = before.saturating_add(1);
                if self.seen < self.needed {
                    return Look::Seen(PowerState::Off);
                }
                Look::Proved(PoweredOff { machine: self.machine.clone(), read_at, by: self.by.clone() })
            }
            Ok(state @ (PowerState::On | PowerState::Unknown(_))) => Look::Seen(state),
            Err(error) => Look::Failed(error),
        }
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

/// The longest that a person's word can count: a shift, and the night after it.
pub const MAX_CONFIRM_TTL: Duration = Duration::from_secs(24 * 60 * 60);

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

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use proptest::prelude::*;

    use super::*;
    use crate::clock::SystemClock;
    use crate::fence::{Identity, Privilege};
    use crate::tree::record;

    /// Answers with a script; `None` is no answer.
    struct Scripted(Mutex<VecDeque<Option<PowerState>>>);

    #[async_trait]
    impl PowerSwitch for Scripted {
        async fn read(&self) -> Result<PowerState, FenceError> {
            let next = self.0.lock().unwrap().pop_front().flatten();
            next.ok_or_else(|| FenceError::Settings { device: self.describe(), why: "no answer".into() })
        }
        async fn switch_off(&self) -> Result<(), FenceError> {
            Ok(())
        }
        async fn identity(&self) -> Result<Option<Identity>, FenceError> {
            Ok(None)
        }
        async fn can_switch_off(&self) -> Result<Privilege, FenceError> {
            Ok(Privilege::Allowed)
        }
        fn describe(&self) -> String {
            "a script".into()
        }
    }

    fn answer() -> impl Strategy<Value = Option<PowerState>> {
        prop_oneof![
            4 => Just(Some(PowerState::Off)),
            1 => Just(Some(PowerState::On)),
            1 => Just(Some(PowerState::Unknown("PoweringOff".into()))),
            1 => Just(None),
        ]
    }

    proptest! {
        /// A proof comes with the first run of N reads of *off*, and never without one.
        #[test]
        fn only_n_consecutive_reads_of_off_make_a_proof(
            answers in prop::collection::vec(answer(), 0..40),
            needed in 2_u32..6,
        ) {
            let mut run = 0;
            let expected = answers.iter().position(|answer| {
                run = if *answer == Some(PowerState::Off) { run + 1 } else { 0 };
                run == needed
            });
            let switch = Scripted(Mutex::new(answers.iter().cloned().collect()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let proved = runtime.block_on(async {
                let mut streak = Streak::new("host1".parse::<HostName>().unwrap().into(), &switch, needed);
                for index in 0..answers.len() {
                    if let Look::Proved(_) = streak.look(&switch, &SystemClock).await {
                        return Some(index);
                    }
                }
                None
            });
            prop_assert_eq!(proved, expected);
        }
    }

    struct At(jiff::Timestamp);

    #[async_trait]
    impl Clock for At {
        fn boottime(&self) -> BootInstant {
            BootInstant::since_boot(Duration::from_secs(1000))
        }
        fn wall(&self) -> jiff::Timestamp {
            self.0
        }
        async fn sleep(&self, _: Duration) {}
    }

    fn word() -> ConfirmOff {
        ConfirmOff {
            version: 1,
            host: "host1".parse().unwrap(),
            incident: "host1@3".parse().unwrap(),
            by: "maria".into(),
            at: "2026-11-22T10:00:00Z".parse().unwrap(),
            ttl_seconds: 600,
            although: BTreeSet::new(),
            ended: None,
        }
    }

    /// The boot clock of [`At`] stands there.
    fn saw() -> BootInstant {
        BootInstant::since_boot(Duration::from_secs(1000))
    }

    fn at(time: &str) -> At {
        At(format!("2026-11-22T{time}Z").parse().unwrap())
    }

    #[test]
    fn a_persons_word_counts_from_when_it_was_given_until_its_limit() {
        let incident = "host1@3".parse().unwrap();
        let counts =
            |time: &str| word().proof(&incident, &at(time), saw()).map(|proof| proof.by().to_owned());
        assert!(counts("10:00:00").unwrap().contains("maria"));
        assert!(counts("10:09:59.999").is_ok());
        let over = |time| matches!(counts(time), Err(ConfirmRefused::Time { .. }));
        assert!(over("10:10:00"));
        assert!(!over("09:59:59.999") && over("09:57:59"), "clocks may differ by two minutes");
        // Seen first when this machine's boot clock was ten minutes younger.
        let long_ago = BootInstant::since_boot(Duration::from_secs(400));
        assert!(word().proof(&incident, &at("10:00:00"), long_ago).is_err());
        let ended = Ended {
            sign: Sign::Agent,
            seen: "its Consul agent answers".into(),
            by: "ha1".parse().unwrap(),
            at: at("10:01:00").0,
        };
        let ended = ConfirmOff { ended: Some(ended), ..word() };
        let refused = ended.proof(&incident, &at("10:02:00"), saw()).unwrap_err();
        assert!(refused.to_string().contains("ha1 saw that its Consul agent answers"), "{refused}");
    }

    #[test]
    fn a_persons_word_counts_only_for_what_it_was_given() {
        let now = at("10:00:01");
        for other in ["host1@4", "host2@3"] {
            let refused = word().proof(&other.parse().unwrap(), &now, saw()).unwrap_err();
            assert!(matches!(refused, ConfirmRefused::Other { .. }), "{other}");
        }
        let incident = "host1@3".parse().unwrap();
        let nobody = ConfirmOff { by: " ".into(), ..word() };
        assert_eq!(nobody.proof(&incident, &now, saw()).unwrap_err(), ConfirmRefused::Nobody);
        for ttl_seconds in [0, 24 * 60 * 60 + 1, u64::MAX] {
            let endless = ConfirmOff { ttl_seconds, ..word() };
            assert_eq!(
                endless.proof(&incident, &now, saw()).unwrap_err(),
                ConfirmRefused::Ttl { ttl_seconds }
            );
        }
        let other_host = ConfirmOff { host: "host2".parse().unwrap(), ..word() };
        assert!(other_host.proof(&incident, &now, saw()).is_err());
    }

    #[test]
    fn a_stored_word_is_read_strictly() {
        let stored = record::bytes(&word());
        assert_eq!(record::parse::<ConfirmOff>("k", &stored).unwrap(), word());
        let newer = String::from_utf8(stored).unwrap().replace("\"version\":1", "\"version\":3");
        assert!(record::parse::<ConfirmOff>("k", newer.as_bytes()).is_err());
    }

    #[test]
    fn a_proof_ages() {
        let proof = word().proof(&"host1@3".parse().unwrap(), &at("10:00:00"), saw()).unwrap();
        let now = BootInstant::since_boot(Duration::from_secs(1030));
        assert!(proof.demand_fresh(now, Duration::from_secs(30)).is_ok());
        assert!(proof.demand_fresh(now, Duration::from_secs(29)).is_err());
        assert!(proof.is_of(&"host1".parse().unwrap()) && !proof.is_of(&"host10".parse().unwrap()));
    }
}
