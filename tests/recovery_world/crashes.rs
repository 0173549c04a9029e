//! `kill -9` and lost answers at every single call of a recovery, then the same HA node again.

use std::time::Duration;

use nova_ha::incident::guest::GuestState;
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::ssh::{Answer, Failure, Stage as SshStage, Unknown};

use super::seams::{FIRST_EVACUATE, Fault};
use super::stage::Stage;
use super::time::block_on;
use super::universe::HOST;

/// How many calls a recovery without a fault makes, by name.
fn calls() -> Vec<String> {
    let stage = Stage::with_dead_host();
    let process = stage.process("ha1", None);
    let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
    assert_eq!(reports.len(), 1, "{reports:?}");
    stage.all_is_recovered("no fault");
    process.calls()
}

fn at_every_call(faults: &[Fault], again_after: Duration) {
    let calls = calls();
    assert!(calls.len() > 60, "{calls:?}");
    for (at, name) in calls.iter().enumerate() {
        for fault in faults {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = Stage::with_dead_host();
            let process = stage.process("ha1", Some((at, *fault)));
            let outcome = block_on(&stage.time, process.run());
            stage.nothing_was_broken(&what);
            stage.wait(again_after);
            let said = stage.recover_until_settled("ha1");
            stage.all_is_recovered(&format!("{what}: {outcome:?}, then {said:?}"));
        }
    }
}

#[test]
fn a_recovery_runs_from_a_dead_host_to_its_guests_elsewhere() {
    assert!(calls().iter().any(|name| name == "evacuate"));
}

#[test]
fn killed_before_or_after_any_call_it_converges_when_run_again_at_once() {
    at_every_call(&[Fault::DiesBefore, Fault::DiesAfter], Duration::from_secs(1));
}

#[test]
fn killed_at_any_call_it_converges_when_run_again_after_its_lock_has_lapsed() {
    at_every_call(&[Fault::DiesAfter], Duration::from_secs(40));
}

#[test]
fn where_somebody_still_takes_or_refuses_connections_a_reading_of_off_is_not_enough() {
    let too_busy = Failure::TimedOut { stage: SshStage::Handshake, after: Duration::from_secs(3) };
    let failures =
        [too_busy, Failure::Refused, Failure::Closed { stage: SshStage::Handshake }, Failure::NotSsh];
    let answers = [Unknown::NothingInCommon, Unknown::NotUnderstood { what: "x".into() }];
    for noise in failures.map(Answer::No).into_iter().chain(answers.map(Answer::CannotTell)) {
        let stage = Stage::with_dead_host();
        stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = Some(noise.clone()));
        let said = stage.recover("ha1");
        stage.nothing_was_broken("noise");
        assert!(said[0].text.contains("takes connections or refuses them"), "{noise:?}: {said:?}");
        let asked = stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("POST")));
        assert!(!asked, "{noise:?}: a guest was sent away");
        stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = None);
        stage.wait(Duration::from_secs(60));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered("it is silent");
    }
}

#[test]
fn where_no_key_of_the_host_is_known_an_ssh_server_at_its_address_may_be_the_host() {
    let noise = |stage: &Stage, noise| stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = noise);
    let effects = |stage: &Stage| stage.with(|u| u.effects.clone());
    let stage = Stage::with_dead_host();
    noise(&stage, Some(Answer::NotPinned));
    let said = stage.recover("ha1");
    assert!(said[0].text.contains("no host key is pinned"), "{said:?}");
    assert!(effects(&stage).is_empty(), "it is not even shot: {:?}", effects(&stage));

    // Killed when its power was cut: the reading of *off* is a lie, and nobody knows its key.
    let stage = Stage::with_dead_host();
    let calls = calls();
    let shot = calls.iter().position(|name| name == "switch off").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((shot, Fault::DiesAfter))).run());
    noise(&stage, Some(Answer::NotPinned));
    let said = stage.recover("ha1");
    assert!(said[0].text.contains("takes connections or refuses them"), "{said:?}");
    assert!(!effects(&stage).iter().any(|effect| effect.what.starts_with("POST")), "{:?}", effects(&stage));
    noise(&stage, None);
    stage.wait(Duration::from_secs(60));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("it is silent");
}

#[test]
fn a_key_that_ha_nodes_only_saw_never_makes_another_machine_of_the_host() {
    const SEEN: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";
    for (noise, expected) in
        [(Answer::OtherKey, "no host key is pinned"), (Answer::Yes, "answers with its own host key")]
    {
        let stage = Stage::of_living();
        stage.with(|u| u.machines.get_mut(HOST).unwrap().first_seen_key = Some(SEEN));
        stage.with(|u| u.dies(HOST));
        stage.wait(Duration::from_secs(40));
        let (_, judged) = stage.mark(&stage.process("ha1", None).world());
        judged.unwrap();
        stage.with(|u| u.machines.get_mut(HOST).unwrap().noise = Some(noise.clone()));
        let said = stage.recover("ha1");
        assert!(said[0].text.contains(expected), "{noise:?}: {said:?}");
        let effects = stage.with(|u| u.effects.clone());
        assert!(effects.is_empty(), "{noise:?}: {effects:?}");
    }
}

/// Why it waits, in the words of a status.
fn says_it_waits(stage: &Stage) -> bool {
    let key = keys::incident(&super::universe::incident()).preflight(&"ha1".parse().unwrap());
    stage.with(|u| u.kv.get(&key)).is_some()
}

#[test]
fn a_wait_for_nova_is_not_said_any_more_when_the_work_goes_on() {
    let stage = Stage::with_dead_host();
    let _died = block_on(&stage.time, stage.process("ha1", Some((FIRST_EVACUATE, Fault::DiesAfter))).run());
    stage.with(|u| u.nova_is_away = true);
    stage.wait(Duration::from_secs(40));
    stage.recover("ha1");
    assert!(says_it_waits(&stage));
    stage.with(|u| u.nova_is_away = false);
    let _died = block_on(&stage.time, stage.process("ha1", Some((FIRST_EVACUATE, Fault::DiesBefore))).run());
    assert!(!says_it_waits(&stage), "it evacuates, and says that it waits");
    stage.wait(Duration::from_secs(40));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("Nova was away");
}

#[test]
fn an_evacuate_that_arrives_after_its_sender_died_is_not_asked_for_again() {
    let calls = calls();
    for (at, _) in calls.iter().enumerate().filter(|(_, name)| *name == "evacuate") {
        let what = format!("late POST, call {at}");
        let stage = Stage::with_dead_host();
        let late = Fault::DiesAndPostsLater(Duration::from_secs(20));
        assert!(block_on(&stage.time, stage.process("ha1", Some((at, late))).run()).is_none(), "{what}");
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn an_evacuate_without_an_answer_that_arrives_late_is_found_and_not_asked_for_again() {
    let calls = calls();
    let at = calls.iter().position(|name| name == "evacuate").unwrap();
    // Up to the time that Nova's own API gives up on a request, which is what post_settle is.
    for late in [100, 5_000, 30_000].into_iter().chain((58_000..60_000).step_by(100)) {
        let what = format!("the POST arrives {late} ms late");
        let stage = Stage::with_dead_host();
        let fault = Fault::PostsLater(Duration::from_millis(late));
        let _reports = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn a_guest_that_nova_is_busy_with_and_shows_no_evacuation_of_is_held_at_its_deadline() {
    let stage = Stage::with_dead_host();
    let _died = block_on(&stage.time, stage.process("ha1", Some((FIRST_EVACUATE, Fault::DiesBefore))).run());
    // nova-api died between the two: its first write is there, the migration was never made.
    let asked = stage.guests().into_values().find(|guest| guest.attempts == 1).unwrap();
    let id: nova_ha::nova::ServerId = asked.server.parse().unwrap();
    stage.with(|u| u.servers.get_mut(&id).unwrap().task_state = Some("rebuilding".into()));
    stage.wait(Duration::from_secs(1));
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("stuck in rebuilding");
    let GuestState::Held { why, .. } = &stage.guests()[&asked.name].state else {
        panic!("{:?}", stage.guests())
    };
    assert!(why.contains("shows no evacuation"), "{why}");
    // The others did not wait for it, and it was never asked for again.
    let posts = stage.with(|u| u.effects.iter().filter(|e| e.what.starts_with("POST ")).count());
    assert_eq!(posts, 2);
    assert!(matches!(stage.record().status.state, State::Held { .. }));
}

#[test]
fn a_guest_whose_target_died_is_held_at_its_deadline_and_never_asked_for_again() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.targets_are_dead = true);
    let began = stage.time.now();
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("its targets died");
    assert!(matches!(stage.record().status.state, State::Held { .. }), "{:?}", stage.record());
    let took = stage.time.now() - began;
    assert!(took > Duration::from_secs(15 * 60), "held after {took:?}, before its deadline");
    for (name, guest) in stage.guests() {
        let GuestState::Held { why, .. } = guest.state else { panic!("{name}: {guest:?}") };
        assert!(why.contains("its target may be dead"), "{why}");
    }
    assert_eq!(stage.with(|u| u.migrations.len()), 3);
    // A person looked and brought the targets back: what was under way arrives, and is attached to.
    stage.with(|u| {
        u.targets_are_dead = false;
        let now = u.now;
        u.migrations.iter_mut().for_each(|(_, due)| *due = now);
    });
    stage.resume();
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("its targets are back");
}

#[test]
fn no_answer_from_anywhere_at_any_call_costs_no_guest() {
    at_every_call(&[Fault::NoAnswer, Fault::AnswerLost], Duration::from_secs(1));
}

#[test]
fn killed_again_and_again_between_the_ledger_and_the_evacuate_a_guest_is_still_asked_for() {
    let stage = Stage::with_dead_host();
    for _ in 0..4 {
        let process = stage.process("ha1", Some((FIRST_EVACUATE, Fault::DiesBefore)));
        assert!(block_on(&stage.time, process.run()).is_none());
        stage.wait(Duration::from_secs(1));
    }
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("killed again and again before the POST");
}

#[test]
fn a_persons_hold_at_any_call_stops_every_effect_at_once() {
    for (at, name) in calls().iter().enumerate() {
        let what = format!("held at call {at} ({name})");
        let stage = Stage::with_dead_host();
        // One guest at a time, so that there is something left to stop.
        stage.with(|u| {
            u.kv.put(keys::POLICY, r#"{"version":1,"storm_limit":3,"off_reads":2,"evacuation_parallel":1}"#)
        });
        let process = stage.process("ha1", Some((at, Fault::PersonHolds)));
        let _reports = block_on(&stage.time, process.run());
        stage.nothing_was_broken(&what);
        if let Some(struck) = process.struck() {
            let late = stage
                .with(|u| u.effects.iter().find(|e| e.at > struck + Duration::from_millis(200)).cloned());
            let was_open = stage.record().status.state != State::Closed;
            assert!(late.is_none() || !was_open, "{what}: {late:?}");
        }
        stage.resume();
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn a_session_that_is_destroyed_at_any_call_stops_every_effect_within_one_renewal() {
    let calls = calls();
    for (at, name) in calls.iter().enumerate() {
        let what = format!("session destroyed at call {at} ({name})");
        let stage = Stage::with_dead_host();
        let process = stage.process("ha1", Some((at, Fault::SessionEnds)));
        let _reports = block_on(&stage.time, process.run());
        stage.nothing_was_broken(&what);
        if let Some(struck) = process.struck() {
            // The lock-delay (60 s) covers a quarter of the TTL, in which the next renewal tells.
            let renewal = Duration::from_secs(15) / 4 + Duration::from_millis(100);
            let taken_again = stage.journal().iter().filter(|e| e.term > 1).count() > 0;
            let late = stage.with(|u| u.effects.iter().find(|e| e.at > struck + renewal).cloned());
            assert!(late.is_none() || taken_again, "{what}: {late:?}");
        }
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
}

#[test]
fn an_evacuation_that_failed_is_asked_for_once_more_and_no_oftener() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.failing_evacuations = 1);
    stage.recover_until_settled("ha1");
    // The model's "second time" rule allows a POST after a failed one.
    stage.nothing_was_broken("one failed evacuation");
    assert_eq!(stage.with(|u| u.migrations.len()), 4);
    assert!(stage.with(|u| u.servers.values().all(|s| s.host.as_ref().unwrap().as_str() == "ha1")));
}

#[test]
fn posts_that_were_lost_in_every_slot_are_asked_for_again() {
    let first = calls().iter().position(|name| name == "evacuate").unwrap();
    for fault in [Fault::NoAnswer, Fault::AnswerLost, Fault::DiesBefore, Fault::DiesAfter] {
        let stage = Stage::with_dead_host();
        let policy = r#"{"version":1,"storm_limit":3,"off_reads":2,"evacuation_parallel":1}"#;
        stage.with(|u| u.kv.put(keys::POLICY, policy));
        let process = stage.process("ha1", Some((first, fault)));
        let _outcome = block_on(&stage.time, process.run());
        stage.wait(Duration::from_secs(1));
        let said = stage.recover_until_settled("ha1");
        stage.all_is_recovered(&format!("{fault:?}: {said:?}"));
    }
}

#[test]
fn a_device_that_reads_off_only_at_the_second_try_is_not_believed_without_a_look_either() {
    let stage = Stage::with_dead_host();
    let fenced = calls().iter().position(|name| name == "forced_down").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((fenced, Fault::DiesBefore))).run());
    let machine = |act: &dyn Fn(&mut super::universe::Machine)| {
        stage.with(|u| act(u.machines.get_mut(HOST).unwrap()));
    };
    // Somebody is at the address. The BMC says who it is when the next run begins, and then is silent for longer than
    // one level's time.
    machine(&|m| m.noise = Some(Answer::NotPinned));
    let process = stage.process("ha1", None);
    let reports = block_on(&stage.time, async {
        let answers = async {
            while !process.calls().iter().any(|name| name == "privilege") {
                stage.time.sleep(Duration::from_millis(5)).await;
            }
            stage.time.sleep(Duration::from_millis(12)).await;
            machine(&|m| m.bmc = false);
            stage.time.sleep(Duration::from_secs(63)).await;
            machine(&|m| m.bmc = true);
        };
        futures_util::future::join(process.run(), answers).await.0
    });
    let said = format!("{reports:?}");
    assert!(said.contains("takes connections or refuses them"), "{said}");
    let posted = stage.with(|u| u.effects.iter().any(|effect| effect.what.starts_with("POST")));
    assert!(!posted, "{said}");
}
