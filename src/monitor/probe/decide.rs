//! The rule: what was found now and recorded before, to what is recorded next. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::names::{Epoch, HaNodeName};
use crate::store::Entry;
use crate::tree::observer::{KEPT_INDICES, ObserverLife, ObserverRecord, PlaneAnswer, PlaneRecord};
use crate::tree::record::Record;

/// What one plane answered, and why, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The answer.
    pub answer: PlaneAnswer,
    /// Why it is not *healthy*; empty if it is.
    pub why: String,
}

/// Planes by name.
pub type Findings = BTreeMap<String, Finding>;

/// Everything beside the findings that goes into a record.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Who writes.
    pub observer: &'a HaNodeName,
    /// The machine's epoch when the probe began.
    pub epoch: Epoch,
    /// Fails that make a vote.
    pub threshold: u64,
    /// Time between two probes.
    pub interval: Duration,
    /// The observer's life.
    pub life: ObserverLife,
    /// Wall clock, for people.
    pub at: jiff::Timestamp,
}

/// Whether and how the machine fails now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every plane answered.
    Healthy,
    /// No plane failed, but not every one could be asked.
    CannotTell,
    /// A plane failed, fewer than `threshold` times in a row.
    Failing,
    /// A plane failed `threshold` times in a row or more.
    Critical,
}

/// What follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// What the machine looks like.
    pub verdict: Verdict,
    /// The record to write; `None` when nothing that matters has changed.
    pub record: Option<ObserverRecord>,
    /// Planes with their counters, also when nothing is written.
    pub planes: BTreeMap<String, PlaneRecord>,
}

/// Decides. `before` is this observer's own record as it was read, with its entry.
///
/// A record of another epoch is started anew: a reset host begins without fails. *Cannot tell*
/// neither raises nor clears a plane's counter, and alone it writes nothing.
pub fn decide(findings: &Findings, before: Option<(&ObserverRecord, &Entry)>, context: &Context<'_>) -> Next {
    let current = before.map(|(record, _)| record).filter(|record| record.epoch == context.epoch);
    let counted = |name: &String| current.and_then(|r| r.planes.get(name)).map_or(0, |p| p.fails);
    let planes: BTreeMap<String, PlaneRecord> = findings
        .iter()
        .map(|(name, finding)| {
            let fails = match finding.answer {
                PlaneAnswer::Healthy => 0,
                PlaneAnswer::Failed => counted(name).saturating_add(1),
                PlaneAnswer::CannotTell => counted(name),
            };
            (name.clone(), PlaneRecord { answer: finding.answer, fails })
        })
        .collect();
    let failing = |p: &&PlaneRecord| p.answer == PlaneAnswer::Failed;
    let fails = planes.values().filter(failing).map(|p| p.fails).max().unwrap_or(0);
    let verdict = match fails {
        0 if planes.values().all(|p| p.answer == PlaneAnswer::Healthy) => Verdict::Healthy,
        0 => Verdict::CannotTell,
        fails if fails >= context.threshold => Verdict::Critical,
        _ => Verdict::Failing,
    };
    let recovered = match verdict {
        // The one reset write, also when the planes were named otherwise before.
        Verdict::Healthy => current.is_some_and(|r| r.fails > 0),
        Verdict::CannotTell | Verdict::Failing | Verdict::Critical => {
            planes.iter().any(|(name, p)| p.answer == PlaneAnswer::Healthy && counted(name) > 0)
        }
    };
    let record = (fails > 0 || recovered).then(|| ObserverRecord {
        version: ObserverRecord::VERSION,
        observer: context.observer.clone(),
        epoch: context.epoch,
        // Goes on rising through a reset: others may be waiting for it to rise.
        sequence: before.map_or(0, |(record, _)| record.sequence).saturating_add(1),
        fails,
        threshold: context.threshold,
        planes: planes.clone(),
        interval_ms: u64::try_from(context.interval.as_millis()).unwrap_or(u64::MAX),
        indices: indices(current.is_some(), before),
        life: context.life.clone(),
        at: context.at,
        why: why(findings),
    });
    Next { verdict, record, planes }
}

/// Where our own last writes stand in Consul's order. The write that we read is the youngest; those
/// of an earlier epoch are no yardstick for this one.
fn indices(same_epoch: bool, before: Option<(&ObserverRecord, &Entry)>) -> Vec<u64> {
    let Some((record, entry)) = before.filter(|_| same_epoch) else { return Vec::new() };
    let mut all = record.indices.clone();
    all.push(entry.modify_index);
    let surplus = all.len().saturating_sub(KEPT_INDICES);
    all.split_off(surplus)
}

fn why(findings: &Findings) -> String {
    let parts: Vec<String> = findings
        .iter()
        .filter(|(_, f)| f.answer != PlaneAnswer::Healthy)
        .map(|(name, f)| format!("{name}: {}", f.why))
        .collect();
    parts.join("; ").chars().take(400).collect()
}
