//! One run: read, look, decide, record, say.

use std::time::{Duration, Instant};

use super::args::Settings;
use super::decide::{Context, Next, Verdict, decide};
use super::evidence::{self, Written};
use super::own_pin::{OwnPins, Remembered};
use super::planes::LetIn;
use super::report::Report;
use super::run_dir::RunDir;
use super::{count, planes};
use crate::clock::{self, BootInstant, Clock};
use crate::monitor::{leaderless, readers};
use crate::names::HostName;
use crate::policy::Policy;
use crate::store::{Store, StoreError};
use crate::tree::TreeError;
use crate::tree::observer::{MOST_HEALTHY, ObserverLife};

/// Part of the deadline kept for recording what was found: a machine that uses up the whole of it
/// is exactly the one whose failure must be written down.
const KEPT_FOR_WRITING: u32 = 4;

/// Probes one machine once. Ends at the deadline: Consul kills what it thinks hangs, and reports it
/// as critical.
pub async fn run(store: &dyn Store, clock: &dyn Clock, settings: &Settings) -> Report {
    let name = settings.machine.name();
    let report = match tokio::time::timeout(settings.deadline, probe(store, clock, settings)).await {
        Ok(report) => report,
        Err(_) => Report::fault_with_next(
            Some(name),
            &format!("Consul took longer than {:?}", settings.deadline),
            Some("consul members"),
        ),
    };
    // What it prints is the check's output; the same line on stderr would be there twice.
    tracing::debug!(host = name, exit = report.exit, written = report.written, "{}", report.line);
    report
}

async fn probe(store: &dyn Store, clock: &dyn Clock, settings: &Settings) -> Report {
    let name = settings.machine.name();
    let began = Instant::now();
    let run_dir = RunDir::at(&settings.run_dir);
    let boot_id = match clock::boot_id() {
        Ok(id) => id.to_string(),
        Err(error) => return Report::fault(Some(name), &error.to_string()),
    };
    let began_at = since_boot(clock);
    let before = match evidence::read(store, settings).await {
        Ok(before) => before,
        Err(error) => {
            if let TreeError::Read { source, .. } = &error {
                note_lost_leader(source, settings, clock, &boot_id);
            }
            return Report::fault_with_next(Some(name), &explain(&error), error.hint().as_deref());
        }
    };
    let kept = settings.deadline / KEPT_FOR_WRITING;
    let time = tenths(settings.deadline.saturating_sub(kept).saturating_sub(began.elapsed()));
    let pins = OwnPins::at(&settings.state_dir);
    let trust = pins.trust(&settings.machine, &before.host_keys);
    let looked = planes::look(settings, &before.access, &trust, time).await;
    let findings = looked.findings;
    let now = since_boot(clock);
    if let Some(took) = slept_through(began_at, now, settings.deadline) {
        let why = format!(
            "this run was asleep: it took {} s, at most {:?} are allowed; what it saw is not recorded",
            took.as_secs(),
            settings.deadline
        );
        return Report::fault(Some(name), &why);
    }
    let remembered = match (trust, looked.let_in) {
        (Ok(trust), LetIn::Yes(key)) => pins.after_login(&settings.machine, trust, key, clock.wall()),
        // Also of a machine that does not answer: whoever looks for it then wants to know its key.
        (Ok(trust), LetIn::No) => Remembered { first_seen: trust.first_seen().cloned(), unkept: None },
        (Err(_), _) => Remembered::default(),
    };
    let unkept = remembered.unkept.map(|why| format!("its SSH host key is not pinned: {why}"));
    let absence = leaderless::last_absence(&settings.run_dir, &boot_id);
    let seen_healthy = run_dir.has_seen(&settings.machine, &boot_id, absence);
    let readable = readers::observer_version(&settings.run_dir);
    let (may_say_all, may_say_key) = (readable >= readers::HAS_ALL, readable >= readers::HAS_FIRST_SEEN);
    let leaderless_ms = absence.filter(|_| may_say_all);
    let context = Context {
        observer: &settings.observer,
        epoch: before.epoch,
        threshold: settings.threshold,
        interval: settings.interval,
        life: ObserverLife {
            seen_healthy,
            boot_id: boot_id.clone(),
            boottime_ms: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            leaderless_ms,
        },
        sees_healthy: Vec::new(),
        first_seen_key: remembered.first_seen.filter(|_| may_say_key).map(|key| key.line()),
        at: clock.wall(),
    };
    let context = match may_say_all {
        true => Context { sees_healthy: others_seen_healthy(settings, &run_dir, &context), ..context },
        false => context,
    };
    let next = decide(&findings, before.record.as_ref().map(|(record, entry)| (record, entry)), &context);
    if next.verdict == Verdict::Healthy
        && let Err(error) = run_dir.saw(&settings.machine, before.epoch, &boot_id, context.life.boottime_ms)
    {
        // It costs this observer's vote during its first minutes, not the host's health.
        tracing::warn!(host = name, error = error.with_cause(), "cannot leave the mark of a healthy host");
    }
    // An older HA node would take such a record for a vote.
    let is_recent = |at: u64| now.saturating_sub(Duration::from_millis(at)) < Policy::default().cooldown;
    if !may_say_all
        && !seen_healthy
        && absence.is_some_and(is_recent)
        && next.record.as_ref().is_some_and(|record| record.fails > 0)
    {
        let why = "Consul had no leader recently, and an HA node with an older nova-ha could not read that";
        return unrecorded(name, &findings, &next, settings, why);
    }
    match evidence::write(store, settings, &before, &next).await {
        Ok(Written::Done) => {}
        Ok(Written::Moved) => {
            return unrecorded(name, &findings, &next, settings, "the tree changed meanwhile");
        }
        Ok(Written::NotOurs(namesake)) => {
            return Report::fault_with_next(Some(name), &namesake.to_string(), Some(&namesake.hint()));
        }
        Err(error) => {
            note_lost_leader(&error, settings, clock, &boot_id);
            return unrecorded(name, &findings, &next, settings, &error.to_string());
        }
    }
    if next.record.is_some()
        && let Err(error) = count::follow(store, settings, before.epoch).await
    {
        tracing::warn!(host = name, error = explain(&error), "number_fails was not brought up to date");
    }
    Report::found(name, &findings, &next, settings.threshold).with_note(unkept.as_deref())
}

/// Whole tenths of a second: the time is in what is said of a host that does not answer, which must be the same at
/// each run.
fn tenths(time: Duration) -> Duration {
    const TENTH_NANOS: u32 = 100_000_000;
    Duration::new(time.as_secs(), time.subsec_nanos() / TENTH_NANOS * TENTH_NANOS)
}

/// The other hosts that this observer saw healthy just now: within an interval and the time of one run. That is less than
/// it takes to vote, so none that died together with the host that is voted on is among them.
fn others_seen_healthy(settings: &Settings, run_dir: &RunDir, context: &Context<'_>) -> Vec<HostName> {
    let age = settings.interval.saturating_add(settings.deadline);
    let since = context.life.boottime_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let mut hosts = run_dir.healthy_hosts(&context.life.boot_id, since);
    hosts.retain(|host| host.as_str() != settings.machine.name());
    hosts.truncate(MOST_HEALTHY);
    hosts
}

/// What was found but could not be recorded is no evidence, and must not wake anyone to judge it.
fn unrecorded(
    name: &str,
    findings: &super::decide::Findings,
    next: &Next,
    settings: &Settings,
    why: &str,
) -> Report {
    let found = Report::found(name, findings, next, settings.threshold);
    tracing::warn!(host = name, "found, but not recorded: {}", found.line);
    Report { planes: next.planes.clone(), ..Report::fault(Some(name), &format!("not recorded: {why}")) }
}

fn since_boot(clock: &dyn Clock) -> Duration {
    clock.boottime().saturating_duration_since(BootInstant::since_boot(Duration::ZERO))
}

/// How long a run took whose machine was suspended in the middle of it: longer than its deadline, by a clock that counts
/// suspend. (The deadline's own timer does not.) All that it asked timed out meanwhile, whatever is so.
fn slept_through(began_at: Duration, now: Duration, deadline: Duration) -> Option<Duration> {
    Some(now.saturating_sub(began_at)).filter(|took| *took > deadline)
}

fn note_lost_leader(error: &StoreError, settings: &Settings, clock: &dyn Clock, boot_id: &str) {
    if matches!(error, StoreError::NoLeader { .. })
        && let Err(error) = leaderless::met(&settings.run_dir, boot_id, since_boot(clock))
    {
        tracing::warn!(error = error.with_cause(), "cannot leave the mark of a lost leader");
    }
}

/// The error, or its cause: the useful half of *cannot read*.
fn explain(error: &TreeError) -> String {
    match error {
        TreeError::Read { source, .. } => source.to_string(),
        TreeError::NoMeta
        | TreeError::NotAFlag { .. }
        | TreeError::Malformed { .. }
        | TreeError::Newer { .. }
        | TreeError::Missing { .. }
        | TreeError::NoSentinel { .. }
        | TreeError::Unknown { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_took_longer_than_its_deadline_by_a_clock_that_counts_suspend_was_asleep() {
        let took =
            |now| slept_through(Duration::from_secs(100), Duration::from_secs(now), Duration::from_secs(8));
        assert_eq!([took(100), took(108), took(99)], [None, None, None]);
        assert_eq!(took(3700), Some(Duration::from_secs(3600)));
    }
}
