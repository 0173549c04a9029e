//! Where nothing tells the age of a record: look until its sequence number rises.

use std::collections::BTreeMap;
use std::time::Duration;

use super::EvidenceError;
use super::testimonies::testimonies;
use super::witness::Witness;
use crate::judge::freshness::Freshness;
use crate::judge::scene::Subject;
use crate::judge::votes::SUSPECT_FAILS;
use crate::keys::MachineKeys;
use crate::names::HaNodeName;
use crate::store::SerfHealth;
use crate::tree::Snapshot;

/// Intervals to wait: a live prober writes within one, a slow one within two, and half for the
/// machine. As in [`crate::judge::freshness`].
const INTERVALS: f64 = 2.5;

/// Whatever an observer claims as its interval, nobody waits longer.
const LONGEST: Duration = Duration::from_secs(60);

/// One machine whose records may need the wait.
pub struct Waiting<'a> {
    /// Its keys.
    pub keys: MachineKeys,
    /// What was read of it.
    pub subject: &'a mut Subject,
}

impl Waiting<'_> {
    /// Observers whose record might be a vote if it were fresh. An agent that answers settles the
    /// matter without them.
    fn open_questions(&self) -> BTreeMap<HaNodeName, u64> {
        if self.subject.serf == Some(SerfHealth::Passing) {
            return BTreeMap::new();
        }
        self.subject
            .testimonies
            .iter()
            .filter(|(_, t)| t.freshness == Freshness::CannotTell)
            .filter(|(_, t)| t.record.fails >= SUSPECT_FAILS && t.record.epoch == self.subject.epoch)
            .map(|(name, t)| (name.clone(), t.record.sequence))
            .collect()
    }
}

/// Waits for all machines together, and marks each record *fresh* when its sequence rose and
/// *stale* when the time is over. Says how long that could take, if anything had to be waited for: what was read
/// beside the records is older by that.
pub async fn until_sequences_rise(
    witness: &Witness<'_>,
    machines: &mut [Waiting<'_>],
) -> Result<Option<Duration>, EvidenceError> {
    let mut open: Vec<BTreeMap<HaNodeName, u64>> = machines.iter().map(Waiting::open_questions).collect();
    let longest_interval = machines
        .iter()
        .zip(&open)
        .flat_map(|(machine, questions)| {
            questions
                .keys()
                .filter_map(|name| machine.subject.testimonies.get(name))
                .map(|t| t.record.interval_ms)
        })
        .max();
    let Some(interval) = longest_interval.map(Duration::from_millis) else { return Ok(None) };
    let patience = interval.mul_f64(INTERVALS).min(LONGEST);
    let pause = (interval / 4).clamp(Duration::from_millis(200), Duration::from_secs(2));
    let began = witness.clock.boottime();
    while open.iter().any(|questions| !questions.is_empty()) {
        if witness.clock.boottime().saturating_duration_since(began) > patience {
            break;
        }
        witness.clock.sleep(pause).await;
        let prefixes: Vec<String> = machines.iter().map(|machine| machine.keys.observers()).collect();
        let snapshot = Snapshot::read(witness.store, "observer records", &prefixes)
            .await
            .map_err(|source| EvidenceError::Tree { source })?;
        for (machine, questions) in machines.iter_mut().zip(&mut open) {
            let (now, unreadable) = testimonies(&snapshot, &machine.keys, None);
            // What it said before it wrote something else is not of now.
            machine.subject.testimonies.retain(|name, _| !unreadable.contains_key(name));
            machine.subject.unreadable = unreadable;
            for (name, mut testimony) in now {
                // Also what needed no wait: a record that was fresh when the wait began may have been
                // followed by the one that says *healthy again*.
                let known = machine.subject.testimonies.get(&name);
                if known.is_none_or(|known| testimony.record.sequence > known.record.sequence) {
                    testimony.freshness = Freshness::Fresh;
                    machine.subject.testimonies.insert(name.clone(), testimony);
                    questions.remove(&name);
                }
            }
        }
    }
    for (machine, questions) in machines.iter_mut().zip(&open) {
        for name in questions.keys() {
            if let Some(testimony) = machine.subject.testimonies.get_mut(name) {
                testimony.freshness = Freshness::Stale;
            }
        }
    }
    Ok(Some(patience.saturating_add(pause)))
}
