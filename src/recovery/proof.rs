//! *Off*, kept fresh: evidence rots, so the power is read again before it is relied on.

use std::time::Duration;

use super::device_words::{self, Given};
use super::silence::settled;
use super::stop::Stop;
use super::word::{Refused, Whereabouts, Word, beside, heeded};
use super::world::World;
use super::{arming, hearsay, identified};
use crate::bindings::Expected;
use crate::fence::off::{Settings, Why, prove_off_with};
use crate::fence::{FenceLevels, Machine, Next, NotOff, PoweredOff, SaidOff, Verdict};
use crate::names::{HostName, IncidentId};
use crate::policy::Policy;
use crate::ssh::Answer;

/// Whose power is read, and through what.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// The seams.
    pub world: &'a World,
    /// The settings.
    pub policy: &'a Policy,
    /// Its devices.
    pub levels: &'a FenceLevels,
    /// The incident.
    pub incident: &'a IncidentId,
    /// Where it is looked for, when a person's word is to count.
    pub at: Whereabouts<'a>,
    /// Who its devices say that they belong to.
    pub expected: &'a Expected,
}

impl<'a> Reader<'a> {
    /// By reading the power now: what a resumed recovery does.
    pub async fn read(self) -> Result<KnownOff<'a>, Stop> {
        let proof = self.proof().await?;
        Ok(KnownOff { reader: self, proof })
    }

    /// From a proof that was just made.
    pub fn known(self, proof: PoweredOff) -> KnownOff<'a> {
        KnownOff { reader: self, proof }
    }

    /// Reads the power, or takes a person's word that still counts.
    async fn proof(self) -> Result<PoweredOff, Stop> {
        let settings = Settings::of(self.policy);
        let given = self.device_words().await?;
        let clock = self.world.clock.as_ref();
        let read = prove_off_with(self.levels, clock, &settings, &given.words).await;
        device_words::end_answered(self.world, self.incident, &given.words).await;
        let not_off = match read {
            Ok(proof) => return self.its_own(proof).await,
            Err(not_off) => not_off,
        };
        self.say_silent(&not_off).await;
        let mut refused = None;
        if !says_on(&not_off) {
            match self.by_word().await? {
                Some(Ok((proof, _))) => return Ok(proof),
                Some(Err(why)) => refused = Some(why),
                None => {}
            }
        }
        let host = self.incident.host();
        let change = Machine::Host(host.clone()).changed_by();
        let settles = not_off
            .next(&change)
            .unwrap_or_else(|| Next::Look(format!("look at its BMC: nova-ha host show {host}")));
        Err(Stop::waiting(
            format!(
                "{host} was off and cannot be proved so now: {not_off}{}{}",
                given.beside(),
                beside(refused.as_ref())
            ),
            speak(host, &not_off, settles)
                .then_word(&format!("nova-ha confirm-off {host} --by NAME --ttl 10m")),
        ))
    }

    /// People's words that count now for silent devices of the levels.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub async fn device_words(self) -> Result<Given, Stop> {
        device_words::heeded(self.world, self.incident, self.levels).await
    }

    /// Says under the incident what the devices of a level answered of which one is silent now.
    pub async fn say_silent(self, not_off: &NotOff) {
        let silent = arming::silent_now(self.levels, not_off);
        if !silent.is_empty() {
            device_words::say(self.world, self.incident, self.levels.described(), &silent).await;
        }
    }

    /// What took its time to be read may have outlasted a word that it stands on.
    async fn words_count(self, said: &SaidOff) -> Result<(), Stop> {
        let mut words = said.devices().iter().filter_map(|by| by.word.as_ref()).peekable();
        if words.peek().is_none() {
            return Ok(());
        }
        let given = self.device_words().await?;
        match words.find(|word| given.words.word(Some(word.of())) != Some(*word)) {
            None => Ok(()),
            Some(over) => {
                let host = self.incident.host();
                let why = given.beside();
                Err(Stop::waiting(
                    format!(
                        "{} says off, and the word for device {} does not count any more{why}",
                        said.by(),
                        over.of()
                    ),
                    device_words::confirm(host, &[over.of()]),
                ))
            }
        }
    }

    /// The proof that an *off* is, if the device that said it says now as well that it is this machine's (behind its address
    /// there may be another one since the run began), and if it is known to have said it: else the machine must be silent.
    ///
    /// # Errors
    /// Waiting: it is another machine's, does not say so any more, or anyone can have said it and the machine is not silent.
    /// Held: the machine answers with its own host key.
    pub async fn its_own(self, said: SaidOff) -> Result<PoweredOff, Stop> {
        self.words_count(&said).await?;
        self.is_its_own(&said).await?;
        let hearsay = match said.by_itself() {
            Ok(proof) => return Ok(proof),
            Err(hearsay) => hearsay,
        };
        let why = match hearsay::believed(self.world, hearsay, self.at).await? {
            Ok(proof) => return Ok(proof),
            Err(why) => why,
        };
        if why.is_false() {
            return Err(Stop::held(format!("{why}: the reading is false")));
        }
        match self.by_word().await? {
            Some(Ok((proof, _))) => Ok(proof),
            Some(Err(_)) | None => Err(Stop::OnlySaid { why: Box::new(why) }),
        }
    }

    async fn is_its_own(self, proof: &SaidOff) -> Result<(), Stop> {
        let clock = self.world.clock.as_ref();
        let verdict = identified::its_own(self.levels, self.expected, self.policy, clock, proof).await;
        let (host, by) = (self.incident.host(), proof.by());
        let why = match verdict {
            Verdict::Matches => return Ok(()),
            Verdict::CannotTell(why) => format!("and does not say any more that it is {host}'s: {why}"),
            Verdict::Differs { expected, found } => {
                format!("and is ANOTHER machine's now: expected {expected}, found {found}")
            }
        };
        Err(Stop::waiting(
            format!("{by} says off, {why}"),
            format!(
                "nova-ha host show {host}; whose BMC is it? nova-ha host add {host} --replace --bmc-ip ..."
            ),
        ))
    }

    /// A person's word, against whoever answers at the host's address now, and who that is.
    pub async fn by_word(self) -> Result<Option<Result<(PoweredOff, Answer), Refused>>, Stop> {
        match heeded(self.world, self.incident).await? {
            Word::None => Ok(None),
            Word::Refused(why) => Ok(Some(Err(why))),
            Word::Given(given) => {
                let answer = self.answer().await;
                let counts = given.against(self.world, &answer).await?;
                Ok(Some(counts.map(|proof| (proof, answer))))
            }
        }
    }

    /// Who answers at the host's address: the first answer that says who is there, or that nobody is.
    pub async fn answer(self) -> Answer {
        settled(self.world.clock.as_ref(), || async { self.at.ask(self.world).await }).await
    }
}

/// The proof that a recovery stands on. Made from a [`PoweredOff`] only, and asked anew when old.
pub struct KnownOff<'a> {
    reader: Reader<'a>,
    proof: PoweredOff,
}

impl<'a> KnownOff<'a> {
    /// Whether it is still young enough to act on.
    pub fn is_fresh(&self) -> bool {
        self.is_younger_than(self.reader.policy.proof_max_age)
    }

    /// Whether two thirds of its time are over: to be read anew beside the work.
    pub fn is_ageing(&self) -> bool {
        !self.is_younger_than(self.reader.policy.proof_max_age * 2 / 3)
    }

    fn is_younger_than(&self, limit: Duration) -> bool {
        self.proof.demand_fresh(self.reader.world.clock.boottime(), limit).is_ok()
    }

    /// What makes a newer one.
    pub fn reader(&self) -> Reader<'a> {
        self.reader
    }

    /// The proof, read again if it is older than the policy allows.
    pub async fn fresh(&mut self) -> Result<&PoweredOff, Stop> {
        if !self.is_fresh() {
            self.proof = self.reader.proof().await?;
        }
        Ok(&self.proof)
    }
}

/// With the command by which a person speaks for devices that are silent beside others, where there are such.
pub fn speak(host: &HostName, not_off: &NotOff, settles: Next) -> Next {
    let silent = not_off.silent();
    if silent.is_empty() { settles } else { settles.then(&device_words::confirm(host, &silent)) }
}

/// Whether a device of the host says *on*, now: against that no person's word counts (it may have
/// been given for the machine beside it). One that does not answer contradicts nobody.
pub fn says_on(not_off: &NotOff) -> bool {
    match not_off {
        NotOff::NotProved { levels, .. } => {
            levels.iter().any(|level| matches!(level.why, Why::StillOn | Why::Contradicted { .. }))
        }
        NotOff::NoLevels { .. } | NotOff::Lease { .. } => false,
    }
}
