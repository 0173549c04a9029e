//! The rule: what was found now and recorded before, to what is recorded next. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::names::{Epoch, HaNodeName, HostName};
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
    /// Other hosts that it sees healthy, the first by name.
    pub sees_healthy: Vec<HostName>,
    /// The SSH host key that this observer saw first, where it goes by that and all HA nodes read it.
    pub first_seen_key: Option<String>,
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
    // By which key the machine is known is said once, by a record that says *healthy*, which it is.
    let said = current.and_then(|record| record.first_seen_key.as_ref());
    let newly_known = verdict == Verdict::Healthy && said != context.first_seen_key.as_ref();
    let record = (fails > 0 || recovered || newly_known).then(|| ObserverRecord {
        version: ObserverRecord::VERSION,
        observer: context.observer.clone(),
        epoch: context.epoch,
        // Goes on rising through a reset: others may be waiting for it to rise.
        sequence: before.map_or(0, |(record, _)| record.sequence).saturating_add(1),
        fails,
        threshold: context.threshold,
        planes: planes.clone(),
        interval_ms: u64::try_from(context.interval.as_millis()).unwrap_or(u64::MAX),
        indices: indices(current.is_some(), before, context),
        life: context.life.clone(),
        sees_healthy: context.sees_healthy.clone(),
        first_seen_key: context.first_seen_key.clone(),
        at: context.at,
        why: why(findings),
    });
    Next { verdict, record, planes }
}

/// Intervals between two writes that still follow on each other; as in [`crate::judge::freshness`].
const FOLLOWS_WITHIN_INTERVALS: u32 = 3;

/// Where our own last writes stand in Consul's order. The write that we read is the youngest. They
/// are a yardstick for *two intervals ago* only while they follow on each other: those of an
/// earlier epoch, of another boot, from before the machine was healthy, or from before a gap (the
/// probe could not tell, or did not run) begin anew.
fn indices(same_epoch: bool, before: Option<(&ObserverRecord, &Entry)>, context: &Context) -> Vec<u64> {
    let Some((record, entry)) = before.filter(|_| same_epoch) else { return Vec::new() };
    let since = context.life.boottime_ms.checked_sub(record.life.boottime_ms);
    let interval = u64::try_from(context.interval.as_millis()).unwrap_or(u64::MAX);
    let follows = record.life.boot_id == context.life.boot_id
        && since.is_some_and(|since| since <= interval.saturating_mul(u64::from(FOLLOWS_WITHIN_INTERVALS)));
    // The tree was copied into another Consul since: its indices begin anew, and so do ours.
    let is_another_order = record.indices.iter().any(|index| *index >= entry.modify_index);
    if record.fails == 0 || !follows || is_another_order {
        return Vec::new();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use PlaneAnswer::{CannotTell, Failed, Healthy};

    fn findings(planes: &[(&str, PlaneAnswer)]) -> Findings {
        let one = |(name, answer): &(&str, PlaneAnswer)| {
            ((*name).to_owned(), Finding { answer: *answer, why: "why".to_owned() })
        };
        planes.iter().map(one).collect()
    }

    /// Runs a probe after another in one tree, each write at the next index.
    struct Tree {
        record: Option<(ObserverRecord, Entry)>,
        epoch: Epoch,
        index: u64,
        life: ObserverLife,
        first_seen_key: Option<String>,
    }

    impl Tree {
        fn new() -> Self {
            let life =
                ObserverLife { boot_id: "b".into(), boottime_ms: 1, seen_healthy: true, leaderless_ms: None };
            Self { record: None, epoch: Epoch(0), index: 100, life, first_seen_key: None }
        }

        /// A failing probe this long after the last one; the length of the yardstick that it writes.
        fn fails_after(&mut self, seconds: u64) -> usize {
            self.life.boottime_ms += 1000 * seconds;
            self.probe(&[("m", Failed)]);
            self.record().indices.len()
        }

        fn probe(&mut self, planes: &[(&str, PlaneAnswer)]) -> (Verdict, bool) {
            let observer = "ha1".parse().unwrap();
            let context = Context {
                observer: &observer,
                epoch: self.epoch,
                threshold: 3,
                interval: Duration::from_secs(10),
                life: self.life.clone(),
                sees_healthy: Vec::new(),
                first_seen_key: self.first_seen_key.clone(),
                at: jiff::Timestamp::UNIX_EPOCH,
            };
            let before = self.record.as_ref().map(|(r, e)| (r, e));
            let next = decide(&findings(planes), before, &context);
            let wrote = next.record.is_some();
            if let Some(record) = next.record {
                self.index += 10;
                let entry = Entry { key: "k".into(), value: vec![], modify_index: self.index, session: None };
                self.record = Some((record, entry));
            }
            (next.verdict, wrote)
        }

        fn record(&self) -> &ObserverRecord {
            &self.record.as_ref().unwrap().0
        }
    }

    #[test]
    fn a_healthy_machine_writes_nothing_and_one_reset_after_a_failure() {
        let mut tree = Tree::new();
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, false));
        assert_eq!(tree.probe(&[("m", Failed)]), (Verdict::Failing, true));
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, true));
        assert_eq!((tree.record().fails, tree.record().sequence), (0, 2));
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, false));
    }

    #[test]
    fn the_threshold_makes_it_critical_and_the_own_indices_are_kept() {
        let mut tree = Tree::new();
        let seen: Vec<Verdict> = (0..6).map(|_| tree.probe(&[("m", Failed)]).0).collect();
        use Verdict::{Critical, Failing};
        assert_eq!(seen, [Failing, Failing, Critical, Critical, Critical, Critical]);
        assert_eq!(tree.record().fails, 6);
        assert_eq!(
            tree.record().indices,
            [120, 130, 140, 150],
            "of the writes before this one, oldest first"
        );
    }

    #[test]
    fn the_own_indices_are_a_yardstick_only_while_writes_follow_on_each_other() {
        let mut tree = Tree::new();
        assert_eq!([tree.fails_after(0), tree.fails_after(10), tree.fails_after(30)], [0, 1, 2]);
        assert_eq!(tree.fails_after(31), 0, "a gap of more than three intervals");
        assert_eq!(tree.fails_after(10), 1);
        tree.life.boot_id = "c".into();
        assert_eq!(tree.fails_after(10), 0, "another boot");
        assert_eq!(tree.fails_after(10), 1);
        tree.life.boottime_ms = 0;
        assert_eq!(tree.fails_after(0), 0, "a boot clock never goes back: not this life");
        assert_eq!(tree.fails_after(10), 1);
        tree.probe(&[("m", Healthy)]);
        assert_eq!(tree.fails_after(10), 0, "healthy in between");
    }

    #[test]
    fn indices_that_go_back_begin_anew() {
        let mut tree = Tree::new();
        assert_eq!([tree.fails_after(0), tree.fails_after(10), tree.fails_after(10)], [0, 1, 2]);
        // Its tree was imported into another Consul, which counts from the beginning.
        let (_, entry) = tree.record.as_mut().unwrap();
        entry.modify_index = 7;
        assert_eq!(tree.fails_after(10), 0);
        tree.index = 20;
        assert_eq!(tree.record().fails, 4, "the counters go on");
    }

    #[test]
    fn cannot_tell_neither_raises_nor_clears_nor_writes() {
        let mut tree = Tree::new();
        assert_eq!(tree.probe(&[("m", CannotTell)]), (Verdict::CannotTell, false));
        for _ in 0..3 {
            tree.probe(&[("m", Failed)]);
        }
        assert_eq!(tree.probe(&[("m", CannotTell)]), (Verdict::CannotTell, false), "never critical");
        assert_eq!(tree.probe(&[("m", Failed)]), (Verdict::Critical, true));
        assert_eq!(tree.record().fails, 4);
    }

    #[test]
    fn the_key_that_was_first_seen_is_said_once_and_only_of_a_healthy_machine() {
        let mut tree = Tree::new();
        tree.first_seen_key = Some("ssh-ed25519 A".into());
        assert_eq!(tree.probe(&[("m", CannotTell)]), (Verdict::CannotTell, false));
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, true));
        assert_eq!((tree.record().fails, tree.record().stored().version), (0, 3));
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, false));
        tree.probe(&[("m", Failed)]);
        assert_eq!(tree.record().first_seen_key.as_deref(), Some("ssh-ed25519 A"), "it stays while it fails");
        tree.epoch = Epoch(1);
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, true), "of another epoch");
        // A person bound one since.
        tree.first_seen_key = None;
        assert_eq!(tree.probe(&[("m", Healthy)]), (Verdict::Healthy, true));
        assert_eq!((&tree.record().first_seen_key, tree.record().stored().version), (&None, 1));
    }

    #[test]
    fn planes_are_counted_apart() {
        let mut tree = Tree::new();
        tree.probe(&[("m", Failed), ("s", Healthy)]);
        tree.probe(&[("m", Failed), ("s", Failed)]);
        let fails = |tree: &Tree, name: &str| tree.record().planes[name].fails;
        assert_eq!((fails(&tree, "m"), fails(&tree, "s"), tree.record().fails), (2, 1, 2));
        // A plane that recovers beside one that we cannot ask must not keep its count.
        assert_eq!(tree.probe(&[("m", Healthy), ("s", CannotTell)]), (Verdict::CannotTell, true));
        assert_eq!((fails(&tree, "m"), fails(&tree, "s"), tree.record().fails), (0, 1, 0));
        // A plane that is no longer probed is gone.
        tree.probe(&[("m", Failed)]);
        assert_eq!(tree.record().planes.len(), 1);
    }

    #[test]
    fn a_reset_host_begins_without_fails() {
        let mut tree = Tree::new();
        for _ in 0..3 {
            tree.probe(&[("m", Failed)]);
        }
        tree.epoch = Epoch(1);
        assert_eq!(tree.probe(&[("m", Failed)]), (Verdict::Failing, true));
        let record = tree.record();
        assert_eq!((record.fails, record.sequence, record.epoch), (1, 4, Epoch(1)));
        assert!(record.indices.is_empty(), "writes of an earlier epoch are no yardstick");
    }
}
