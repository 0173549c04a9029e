//! People's words for single silent devices of a fence level (`nova-ha confirm-off --device`): which of them count now, and what
//! ends them.
//!
//! As a word for the host itself ([`super::word`]) each counts for its time by two clocks and until the host gives a sign of life.
//! Beside that it is over as soon as the device answers anything but *off*, and when the tree describes the host's
//! devices otherwise. One that cannot be understood, as of a newer build, is none.

use std::collections::BTreeMap;
use std::time::Duration;

use super::contradiction::{Against, against};
use super::stop::Stop;
use super::world::{World, chain};
use crate::evidence::first_seen::{Said, first_seen};
use crate::fence::device_off::{DeviceHeard, as_described};
use crate::fence::{DeviceOff, DeviceWord, DeviceWords, FenceLevels, OneOf};
use crate::incident::devices::{DeviceAnswer, DeviceSeen, DevicesSeen};
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::store::{Entry, Op, TxnOutcome};
use crate::tree::Snapshot;
use crate::tree::record::{Record, bytes, parse};

/// What there is of words for devices.
#[derive(Debug, Default)]
pub struct Given {
    /// Those that count.
    pub words: DeviceWords,
    /// Why the others do not.
    pub refused: BTreeMap<OneOf, String>,
}

impl Given {
    /// Appended to why a host is not proved off.
    pub fn beside(&self) -> String {
        self.refused.values().map(|why| format!("; {why}")).collect()
    }
}

/// What a person can type for silent devices.
pub fn confirm(host: &HostName, silent: &[OneOf]) -> String {
    let commands: Vec<String> =
        silent.iter().map(|of| format!("nova-ha confirm-off {host} --device {of} --by NAME")).collect();
    format!("if that one carries no power, and you have looked: {}", commands.join(", "))
}

/// One that is over, and why.
struct Over {
    word: DeviceOff,
    entry: Entry,
    seen: String,
}

/// The words that count now for devices of these levels, as the run read them. Changes nothing.
///
/// # Errors
/// The tree cannot be read.
pub async fn given(world: &World, id: &IncidentId, levels: &FenceLevels) -> Result<Given, Stop> {
    match levels.have_several() {
        true => Ok(judged(world, id, Some(levels.described())).await?.0),
        false => Ok(Given::default()),
    }
}

/// The same; a sign of life that is newer than a word ends it, for everybody and for good.
///
/// # Errors
/// The tree cannot be read.
pub async fn heeded(world: &World, id: &IncidentId, levels: &FenceLevels) -> Result<Given, Stop> {
    match levels.have_several() {
        true => Ok(and_ended(world, judged(world, id, Some(levels.described())).await?).await),
        false => Ok(Given::default()),
    }
}

/// As [`heeded`], by a run that may work on another incident: from now on this machine counts the words' time.
///
/// # Errors
/// The tree cannot be read.
pub async fn take_note(world: &World, id: &IncidentId) -> Result<(), Stop> {
    let judged = judged(world, id, None).await?;
    and_ended(world, judged).await;
    Ok(())
}

async fn and_ended(world: &World, (given, over): (Given, Vec<Over>)) -> Given {
    for Over { word, entry, seen } in over {
        end(world, word, &entry, seen).await;
    }
    given
}

/// Ends the words of devices that answered meanwhile.
pub async fn end_answered(world: &World, id: &IncidentId, words: &DeviceWords) {
    for (of, said) in words.heard() {
        let key = keys::incident(id).device_off(&of.to_string());
        match world.store.get(&key).await {
            Ok(Some(entry)) => match parse::<DeviceOff>(&entry.key, &entry.value) {
                Ok(word) if word.ended.is_none() => {
                    end(world, word, &entry, format!("the device answers: {said}")).await;
                }
                Ok(_) | Err(_) => {}
            },
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(incident = %id, %error, "cannot end a word for a device that answers");
            }
        }
    }
}

async fn judged(world: &World, id: &IncidentId, described: Option<&str>) -> Result<(Given, Vec<Over>), Stop> {
    let read = |source| Stop::Store { doing: "read people's words for devices", source };
    let prefix = keys::incident(id).all_device_off();
    let entries = world.store.list(&prefix).await.map_err(read)?;
    let (mut words, mut given, mut over) = (Vec::new(), Given::default(), Vec::new());
    if entries.is_empty() {
        return Ok((given, over));
    }
    let now = described_now(world, id).await?;
    // A run acts by what it read when it began: a word for other devices than these is none for it.
    let described = if described.is_none_or(|then| then == now) { now.as_str() } else { "" };
    for entry in entries {
        let Some(of) = entry.key.strip_prefix(&prefix).and_then(|of| of.parse::<OneOf>().ok()) else {
            tracing::warn!(incident = %id, key = entry.key, "no device has such a name");
            continue;
        };
        match word(world, (id, of), &entry, described).await? {
            Ok(word) => words.push(word),
            Err(No { why, over: ended }) => {
                tracing::info!(incident = %id, device = %of, why, "a person's word for a device does not count");
                given.refused.insert(of, why);
                over.extend(ended.map(|(word, seen)| Over { word, entry, seen }));
            }
        }
    }
    given.words = DeviceWords::of(words);
    Ok((given, over))
}

/// Why one does not count, and whether that ends it.
struct No {
    why: String,
    over: Option<(DeviceOff, String)>,
}

impl No {
    fn only(why: String) -> Self {
        Self { why, over: None }
    }
}

async fn word(
    world: &World,
    (id, of): (&IncidentId, OneOf),
    entry: &Entry,
    described: &str,
) -> Result<Result<DeviceWord, No>, Stop> {
    let word: DeviceOff = match parse(&entry.key, &entry.value) {
        Ok(word) => word,
        Err(error) => return Ok(Err(No::only(chain(&error)))),
    };
    let file = of.to_string();
    let said = Said::Device { of: &file, index: entry.modify_index };
    let saw = match first_seen(&world.witness(), id, said) {
        Ok(saw) => saw,
        Err(why) => {
            return Ok(Err(No::only(format!(
                "the word for device {of} does not count here: {}",
                chain(&why)
            ))));
        }
    };
    let counts = match word.counts((id, of), described, world.clock.as_ref(), saw) {
        Ok(counts) => counts,
        Err(why) => return Ok(Err(No::only(chain(&why)))),
    };
    let limit = (word.at, Duration::from_secs(word.ttl_seconds));
    let by = &word.by;
    Ok(match against(world, id.host(), entry, limit).await? {
        None => Ok(counts),
        Some(Against::OverElsewhere { observer, at }) => Err(No::only(format!(
            "the word of {by} for device {of} is over by the clock of {observer}, which wrote after it at {at}"
        ))),
        Some(Against::Lives(seen)) => {
            let why = format!("the word of {by} for device {of} does not count: {}", seen.text);
            Err(No { why, over: Some((word, seen.text)) })
        }
    })
}

/// As what the tree describes the host's devices now.
async fn described_now(world: &World, id: &IncidentId) -> Result<String, Stop> {
    let host = keys::host(id.host());
    let prefixes = [keys::META.to_owned(), host.fence(), host.bmc(), host.bound()];
    let tree = Snapshot::read(world.store.as_ref(), "how it is powered off", &prefixes).await;
    Ok(as_described(&tree.map_err(|source| Stop::Tree { source })?, &host))
}

/// Writes into the word that it is over. Whoever reads it without that sees the cause itself, as long as it lasts; so a write
/// that fails is tried again by the next look.
async fn end(world: &World, word: DeviceOff, entry: &Entry, seen: String) {
    let (id, of) = (word.incident.clone(), word.of());
    let ended = DeviceHeard { seen, by: world.me.clone(), at: world.clock.wall() };
    tracing::warn!(incident = %id, device = %of, by = word.by, seen = ended.seen, "a person's word for a device is over");
    let over = DeviceOff { ended: Some(ended), ..word };
    match world.store.transact(&[Op::replace(entry.key.clone(), bytes(&over), Some(entry))]).await {
        Ok(TxnOutcome::Committed(_) | TxnOutcome::Refused(_)) => {}
        Err(error) => {
            tracing::warn!(incident = %id, %error, "cannot write that a word is over; the next look will");
        }
    }
}

/// Says under the incident what the devices of a level answered of which one is silent. The same answers are not written again.
pub async fn say(world: &World, id: &IncidentId, described: &str, devices: &[DeviceSeen]) {
    let key = keys::incident(id).devices();
    let before = match world.store.get(&key).await {
        Ok(before) => before,
        Err(error) => {
            tracing::warn!(incident = %id, %error, "cannot say what its devices answered");
            return;
        }
    };
    let known = before.as_ref().and_then(|entry| parse::<DevicesSeen>(&entry.key, &entry.value).ok());
    let now = DevicesSeen {
        version: DevicesSeen::VERSION,
        node: world.me.clone(),
        at: world.clock.wall(),
        described: described.to_owned(),
        devices: devices.to_vec(),
    };
    let is_silent = now.devices.iter().any(|device| device.answer == DeviceAnswer::Silent);
    let same = known.is_some_and(|known| known.devices == now.devices && known.described == now.described);
    let op = match (is_silent, before) {
        (true, _) if same => return,
        (true, before) => Op::replace(key, bytes(&now), before.as_ref()),
        (false, Some(entry)) => Op::DeleteCas(key, entry.modify_index),
        (false, None) => return,
    };
    if let Err(error) = world.store.transact(&[op]).await {
        tracing::warn!(incident = %id, %error, "cannot say what its devices answered");
    }
}
