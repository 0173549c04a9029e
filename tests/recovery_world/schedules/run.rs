//! One schedule from the death of the host to its end, and what is to be said of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nova_ha::incident::status::State;
use nova_ha::keys;

use super::super::stage::Stage;
use super::super::time::{Time, block_on};
use super::super::universe::{HOST, Universe};
use super::apart::{self, NotPromised};
use super::engine::Engine;
use super::event::{Schedule, Storage};
use super::invariants::{Invariant, Invariants, Violation};

/// What became of it.
#[derive(Debug)]
pub(crate) enum Outcome {
    Clean(End),
    /// Struck by something that is not promised.
    Apart(NotPromised, Box<Violation>),
    Broken(Box<Violation>),
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum End {
    /// The host came back before anybody opened an incident.
    NoIncident,
    Closed,
    Withdrawn,
    Held,
}

/// A deliberate fault, to see that an invariant can be broken.
pub(crate) struct Planted {
    pub(crate) at: Duration,
    pub(crate) plant: fn(&mut Universe),
    pub(crate) nobody_recovers: bool,
}

/// How long anything may take after the last fault, and after each resume.
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// Above every schedule's length.
const TROUBLE: Duration = Duration::from_secs(4 * 60 * 60);

pub(crate) struct Run {
    pub(crate) stage: Stage,
    pub(crate) outcome: Outcome,
}

/// A host with three guests that died just now; nobody has seen it yet.
pub(super) fn stage(storage: Storage, scheduled: bool) -> Stage {
    let start = Duration::from_secs(10_000);
    let time = Time::from(start);
    let mut universe = Universe::new(start);
    universe.kv.put(keys::POLICY, r#"{"version":1}"#);
    match storage {
        Storage::Shared => {}
        Storage::Md => universe.on_an_array(),
        Storage::Exec => universe.on_a_pool(),
    }
    if scheduled {
        universe.goes_where_the_scheduler_says();
    }
    universe.invariants = Some(Box::new(Invariants::of(&universe)));
    universe.dies(HOST);
    Stage { time, universe: Arc::new(Mutex::new(universe)) }
}

pub(crate) fn run(schedule: &Schedule, planted: Option<&Planted>) -> Run {
    let stage = stage(schedule.storage, schedule.scheduled);
    let violation = block_on(&stage.time, whole(&stage, schedule, planted));
    let outcome = match violation {
        Err(violation) => match apart::of(&violation) {
            Some(why) => Outcome::Apart(why, violation),
            None => Outcome::Broken(violation),
        },
        Ok(end) => Outcome::Clean(end),
    };
    Run { stage, outcome }
}

async fn whole(stage: &Stage, schedule: &Schedule, planted: Option<&Planted>) -> Result<End, Box<Violation>> {
    let mut engine = Engine::new(stage, schedule);
    if let Some(planted) = planted {
        engine.nobody_recovers = planted.nobody_recovers;
        engine.run(planted.at, |_| false).await;
        stage.with(|u| {
            (planted.plant)(u);
            u.everything_holds();
        });
    }
    engine.run(TROUBLE, |engine| !engine.is_in_trouble()).await;
    engine.mend();
    engine.run(HALF_AN_HOUR, |engine| settled(engine.stage).is_some()).await;
    for _ in 0..2 {
        first_violation(stage)?;
        if settled(stage).is_some_and(|end| end != End::Held) {
            break;
        }
        engine.resume();
        engine.run(HALF_AN_HOUR, |engine| settled(engine.stage).is_some()).await;
    }
    first_violation(stage)?;
    let too_long = || Violation {
        at: stage.time.now(),
        invariant: Invariant::Progress,
        what: "half an hour after the second resume it is neither closed nor held".into(),
        actor: None,
    };
    settled(stage).ok_or_else(|| Box::new(too_long()))
}

fn first_violation(stage: &Stage) -> Result<(), Box<Violation>> {
    let first = stage.with(|u| u.invariants.as_ref().and_then(|i| i.violations.first().cloned()));
    first.map_or(Ok(()), |first| Err(Box::new(first)))
}

/// Nothing is left to do but what a person does.
fn settled(stage: &Stage) -> Option<End> {
    if stage.stored_record().is_none() {
        return stage.with(|u| !u.machines[HOST].dead).then_some(End::NoIncident);
    }
    match stage.record().status.state {
        State::Closed | State::Abandoned => Some(End::Closed),
        State::Withdrawn => Some(End::Withdrawn),
        State::Held { reason } if !reason.is_empty() => Some(End::Held),
        State::Held { .. } | State::Active => None,
    }
}
