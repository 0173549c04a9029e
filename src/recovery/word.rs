//! A person's word that a host is off (`nova-ha confirm-off`), and what ends it.
//!
//! It counts for its time by two clocks, for what it was given for, and only as long as nothing contradicts it:
//!
//! | question | where it does |
//! |---|---|
//! | Is it about this host and incident, named, in its time, and not ended? | it does not count |
//! | Is its time over by the clock of an observer that wrote after it? | it does not count |
//! | Does the host's agent answer, or did an observer see it answer after the word? | it is over; not so an agent that the person named, which gossip may not have given up yet |
//! | Does the host answer with its own SSH host key? | it is over |
//! | Does whoever has its address take connections or refuse them? | it counts only if the person named that, and the journal had it before the word |
//!
//! *Before* and *after* are Consul's order of writes. A word that is over stays so: that is written into it,
//! and it is said wherever it would have counted.

use std::time::Duration;

use crate::evidence::Pins;
use crate::evidence::first_seen::{NotCounted, Said, counts, first_seen};
use crate::evidence::signs::{SignSeen, of_answer};
use crate::fence::PoweredOff;
use crate::fence::proof::{ConfirmOff, ConfirmRefused, Ended};
use crate::incident::IncidentRecord;
use crate::incident::journal::{Event, JournalEntry};
use crate::incident::said::{Layout, Ordered};
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::ssh::Answer;
use crate::store::{Entry, Op, TxnOutcome};
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::{bytes, parse};
use crate::tree::sign::Sign;

use super::contradiction::{Against, against};
use super::device_words;
use super::stop::Stop;
use super::world::{World, chain};

/// Where a host is looked for.
#[derive(Debug, Clone, Copy)]
pub struct Whereabouts<'a> {
    /// An IP address or a name.
    pub address: &'a str,
    /// TCP port.
    pub port: u16,
    /// Keys that it is known by.
    pub pins: &'a Pins,
}

impl Whereabouts<'_> {
    /// Who is there, now.
    pub async fn ask(&self, world: &World) -> Answer {
        self.pins.who_answers(world.reach.as_ref(), self.address, self.port).await
    }
}

/// How long the agent of a host whose plug was just pulled may pass on: gossip gives it up within half a minute.
/// One that a person named in the word and that passes longer lives.
const GOSSIP_GIVES_UP: Duration = Duration::from_secs(60);

/// What there is of a word, by the tree.
#[derive(Debug)]
pub enum Word {
    /// Nobody gave one.
    None,
    /// It does not count.
    Refused(Refused),
    /// It counts, unless whoever answers at the host's address contradicts it.
    Given(Box<Given>),
}

/// A word that nothing in the tree contradicts.
#[derive(Debug)]
pub struct Given {
    word: ConfirmOff,
    entry: Entry,
    proof: PoweredOff,
}

/// Why a person's word does not count.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// By itself.
    #[error(transparent)]
    Itself(#[from] ConfirmRefused),
    /// This machine cannot count its time.
    #[error("the confirmation does not count here: {}", chain(.0))]
    NotCounted(NotCounted),
    /// By the clock of an observer that wrote after the word its time is over: one of the clocks is wrong.
    #[error("the confirmation of {by} is over by the clock of {observer}, which wrote after it at {at}")]
    OverElsewhere {
        /// Who gave it.
        by: String,
        /// Whose clock.
        observer: HaNodeName,
        /// What it says.
        at: jiff::Timestamp,
    },
    /// It stands where a check's token can write it.
    #[error(
        "the confirmation of {by} was given by an older nova-ha and does not count: say it again with nova-ha confirm-off"
    )]
    OfOlder {
        /// Who, by that word.
        by: String,
    },
    /// Something says that the host lives.
    #[error("the confirmation of {by} does not count: {}", seen.text)]
    Lives {
        /// Who gave it.
        by: String,
        /// What was seen.
        seen: SignSeen,
    },
    /// Its address answers, and the word does not say *although*.
    #[error("the confirmation of {by} does not say --although-its-address-answers: {}", seen.text)]
    AddressNotNamed {
        /// Who gave it.
        by: String,
        /// What was seen.
        seen: SignSeen,
    },
    /// Its address answers, and that was not in the journal when the word was given.
    #[error("the confirmation of {by} is older than what was found out about the host's address: {}", seen.text)]
    AddressFoundLater {
        /// Who gave it.
        by: String,
        /// What was seen.
        seen: SignSeen,
    },
}

/// The word of a person in this incident, as far as the tree can tell. Changes nothing.
///
/// # Errors
/// The tree cannot be read or understood.
pub async fn word(world: &World, id: &IncidentId) -> Result<Word, Stop> {
    Ok(judged(world, id).await?.0)
}

/// The same; a sign of life that is newer than the word ends it, for everybody and for good.
///
/// # Errors
/// The tree cannot be read or understood.
pub async fn heeded(world: &World, id: &IncidentId) -> Result<Word, Stop> {
    let (word, over) = judged(world, id).await?;
    if let Some(Over { word, entry, seen }) = over {
        end(world, &word, &entry, &seen).await;
    }
    Ok(word)
}

/// What persons said in an incident, seen by a run that may work on another one: from now on this machine
/// counts its time, and a sign of life ends a word also while nobody works on it.
pub async fn take_note(world: &World, record: &IncidentRecord) {
    match Ordered::read(world.store.as_ref(), record).await {
        Ok(Ordered::No) => {}
        Ok(Ordered::By(order)) => {
            if let Err(why) = counts(&world.witness(), &record.id, &order) {
                tracing::info!(incident = %record.id, by = order.by, why = chain(&why), "a person's order does not count");
            }
        }
        Ok(Ordered::OfOlder { by }) => {
            tracing::warn!(incident = %record.id, by, "an order in the incident's record does not count: say it again");
        }
        Err(error) => {
            tracing::warn!(incident = %record.id, error = chain(&error), "cannot see whether a person gave an order");
        }
    }
    if let Err(error) = heeded(world, &record.id).await {
        tracing::warn!(incident = %record.id, error = chain(&error), "cannot see what a person confirmed");
    }
    if let Err(error) = device_words::take_note(world, &record.id).await {
        tracing::warn!(incident = %record.id, error = chain(&error), "cannot see what a person said of a device");
    }
}

/// A word that a sign of life ends.
struct Over {
    word: ConfirmOff,
    entry: Entry,
    seen: SignSeen,
}

async fn judged(world: &World, id: &IncidentId) -> Result<(Word, Option<Over>), Stop> {
    let refused = |why| Ok((Word::Refused(why), None));
    let Some((entry, layout)) = stored(world, id).await? else { return Ok((Word::None, None)) };
    let word: ConfirmOff = parse(&entry.key, &entry.value).map_err(|source| Stop::Tree { source })?;
    match layout {
        Layout::ByWriter => {}
        Layout::WithinIncident => {
            let formats =
                Formats::read(world.store.as_ref()).await.map_err(|source| Stop::Tree { source })?;
            if Layout::of(&formats) == Layout::ByWriter {
                return refused(Refused::OfOlder { by: word.by });
            }
        }
    }
    let saw = match first_seen(&world.witness(), id, Said::Word { index: entry.modify_index }) {
        Ok(saw) => saw,
        Err(why) => return refused(Refused::NotCounted(why)),
    };
    let proof = match word.proof(id, world.clock.as_ref(), saw) {
        Ok(proof) => proof,
        Err(why) => {
            tracing::info!(incident = %id, %why, "a person's confirmation does not count");
            return refused(why.into());
        }
    };
    let ttl = Duration::from_secs(word.ttl_seconds);
    let seen = match against(world, id.host(), &entry, (word.at, ttl)).await? {
        Some(Against::OverElsewhere { observer, at }) => {
            return refused(Refused::OverElsewhere { by: word.by, observer, at });
        }
        Some(Against::Lives(seen)) => seen,
        None => return Ok((Word::Given(Box::new(Given { word, entry, proof })), None)),
    };
    let known_for = world.clock.boottime().saturating_duration_since(saw);
    let may_pass = seen.sign == Sign::Agent && word.although.contains(&Sign::Agent);
    let by = word.by.clone();
    let over = (!may_pass || known_for >= GOSSIP_GIVES_UP).then(|| Over { word, entry, seen: seen.clone() });
    Ok((Word::Refused(Refused::Lives { by, seen }), over))
}

/// The word that is there, and in which layout.
async fn stored(world: &World, id: &IncidentId) -> Result<Option<(Entry, Layout)>, Stop> {
    for layout in [Layout::ByWriter, Layout::WithinIncident] {
        let read = |source| Stop::Store { doing: "read a person's word", source };
        if let Some(entry) = world.store.get(&layout.confirm_off(id)).await.map_err(read)? {
            return Ok(Some((entry, layout)));
        }
    }
    Ok(None)
}

/// Writes into the word that it is over. Whoever reads it without that sees the sign itself, as long as it
/// lasts; so a write that fails is tried again by the next look.
async fn end(world: &World, word: &ConfirmOff, entry: &Entry, seen: &SignSeen) {
    let ended =
        Ended { sign: seen.sign, seen: seen.text.clone(), by: world.me.clone(), at: world.clock.wall() };
    let over = ConfirmOff { ended: Some(ended), ..word.clone() };
    // An older HA node would not read why it is over, and nobody needs the word any more.
    let formats = Formats::read(world.store.as_ref()).await;
    let is_read = formats.is_ok_and(|formats| formats.allows(Kind::ConfirmOff, over.since()).is_ok());
    let op = match is_read {
        true => Op::replace(entry.key.clone(), bytes(&over), Some(entry)),
        false => Op::DeleteCas(entry.key.clone(), entry.modify_index),
    };
    let ops = [op];
    match world.store.transact(&ops).await {
        Ok(TxnOutcome::Committed(_)) => {
            tracing::warn!(incident = %word.incident, by = word.by, sign = seen.text, "a person's confirmation is over: a sign of life");
        }
        Ok(TxnOutcome::Refused(_)) => {}
        Err(error) => {
            tracing::warn!(incident = %word.incident, %error, "cannot write that a confirmation is over; the next look will");
        }
    }
}

impl Given {
    /// Who gave it and when, for people.
    pub fn by(&self) -> &str {
        self.proof.by()
    }

    /// The proof that it is, given who answered just now at the host's address.
    ///
    /// # Errors
    /// The journal cannot be read.
    pub async fn against(self, world: &World, answer: &Answer) -> Result<Result<PoweredOff, Refused>, Stop> {
        let by = self.word.by.clone();
        let Some(seen) = of_answer(answer) else { return Ok(Ok(self.proof)) };
        match seen.sign {
            Sign::OwnKey => {
                end(world, &self.word, &self.entry, &seen).await;
                return Ok(Err(Refused::Lives { by, seen }));
            }
            Sign::UnknownKey | Sign::Address | Sign::Agent | Sign::Observers => {}
        }
        if !self.word.although.contains(&Sign::Address) {
            return Ok(Err(Refused::AddressNotNamed { by, seen }));
        }
        match found_before(world, &self.word.incident, self.entry.modify_index).await? {
            true => Ok(Ok(self.proof)),
            false => Ok(Err(Refused::AddressFoundLater { by, seen })),
        }
    }
}

/// Whether the journal says, in an entry older than this index of Consul's, that the host's address answers.
///
/// # Errors
/// The journal cannot be read.
pub async fn found_before(world: &World, id: &IncidentId, index: u64) -> Result<bool, Stop> {
    let read = |source| Stop::Store { doing: "read its journal", source };
    for stored in world.store.list(&keys::incident(id).journal()).await.map_err(read)? {
        let entry: JournalEntry =
            parse(&stored.key, &stored.value).map_err(|source| Stop::Tree { source })?;
        if matches!(entry.what, Event::AddressAnswers { .. }) && stored.modify_index < index {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Appended to why a host is not proved off: why the word that there is does not count.
pub fn beside(refused: Option<&Refused>) -> String {
    refused.map_or_else(String::new, |why| format!("; {why}"))
}
