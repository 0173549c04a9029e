//! An HA node that stands still in the middle of a recovery, another one that recovers, and the host back in service when
//! the first goes on: whatever that one still does, it does to a machine that lives.

use std::time::Duration;

use super::super::stage::Stage;
use super::super::time::block_on;
use super::super::universe::HOST;
use super::engine::Engine;
use super::event::{Event, Job, Schedule, Storage, Who};
use super::invariants::Violation;
use super::run::stage;

/// The holder stands still so long after the host died, from before the shot to after the last evacuation.
const FROM: Duration = Duration::from_secs(28);
const STEP: Duration = Duration::from_millis(850);
const TRIES: u32 = 40;

/// For so long: the lease ends, another HA node adopts, closes, and people repair the host.
const STANDS: Duration = Duration::from_secs(8 * 60);

/// Repaired, and in service with guests.
const REPAIRED: Duration = Duration::from_secs(7 * 60);

async fn to_the_end(stage: &Stage, schedule: &Schedule) {
    let mut engine = Engine::new(stage, schedule);
    engine.run(REPAIRED, |_| false).await;
    stage.with(|u| {
        u.machines.get_mut(HOST).unwrap().power_on = true;
        u.returns(HOST);
    });
    engine.run(AFTERWARDS, |_| false).await;
}

/// Until the one that stood still has done whatever it does.
const AFTERWARDS: Duration = Duration::from_secs(4 * 60);

/// All that broke, and how many runs nothing was wrong in.
fn all(stands_still: fn(Who) -> Event, storage: Storage) -> (Vec<Violation>, u32) {
    let (mut broken, mut clean) = (Vec::new(), 0);
    for number in 0..TRIES {
        let events = vec![(FROM + STEP * number, stands_still(Who::Holder))];
        let schedule = Schedule { storage, scheduled: false, seed: u64::from(number), events };
        let stage = stage(storage, false);
        block_on(&stage.time, to_the_end(&stage, &schedule));
        let violations = stage.with(|u| u.invariants.as_ref().unwrap().violations.clone());
        clean += u32::from(violations.is_empty());
        broken.extend(violations);
    }
    (broken, clean)
}

/// By its own clock at most so long ago: the way of the answer, and of the command.
const ONE_WAY: Duration = Duration::from_millis(800);

#[test]
fn one_whose_virtual_machine_was_paused_does_nothing_that_consul_did_not_allow_right_before() {
    for storage in [Storage::Shared, Storage::Md] {
        let (broken, clean) = all(|who| Event::Pause(who, STANDS), storage);
        for violation in &broken {
            let actor = violation.actor.as_ref().unwrap();
            let asked_right_before = actor.asked_ago.is_some_and(|ago| ago <= ONE_WAY);
            assert!(actor.in_call.is_some() || asked_right_before, "{storage:?}: {violation:?}");
        }
        assert!(clean * 10 >= TRIES * 9, "{storage:?}: {clean} of {TRIES} runs are clean: {broken:?}");
    }
}

#[test]
fn one_whose_process_was_stopped_does_nothing_but_what_it_was_doing() {
    let (broken, clean) = all(|who| Event::Stop(who, Job::Recover, STANDS), Storage::Shared);
    for violation in &broken {
        assert!(violation.actor.as_ref().unwrap().in_call.is_some(), "{violation:?}");
    }
    assert!(clean * 10 >= TRIES * 9, "{clean} of {TRIES} runs are clean: {broken:?}");
}
