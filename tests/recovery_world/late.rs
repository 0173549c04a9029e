//! Evacuates that Nova hears late: the guest is built once, whoever sent them and whatever became of that one.

use std::time::Duration;

use nova_ha::incident::note::WaitingNote;
use nova_ha::keys;
use nova_ha::tree::record::parse;

use super::keystone::TOKEN_LIFE;
use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, incident};

/// In seconds; beyond `post_settle`, at the end of Nova's memory of a token, and far beyond both.
const LATE: [u64; 7] = [20, 59, 65, 299, 361, 420, 600];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Targets {
    ThisHaNode,
    Scheduler,
}

fn stage(targets: Targets) -> Stage {
    let stage = Stage::with_dead_host();
    if targets == Targets::Scheduler {
        stage.with(|u| u.goes_where_the_scheduler_says());
    }
    stage
}

fn calls(targets: Targets) -> Vec<String> {
    let stage = stage(targets);
    let process = stage.process("ha1", None);
    let _reports = block_on(&stage.time, process.run());
    process.calls()
}

fn first_evacuate(targets: Targets) -> usize {
    calls(targets).iter().position(|name| name == "evacuate").unwrap()
}

fn posts(stage: &Stage) -> Vec<(Duration, String)> {
    let post = |e: &super::universe::Effect| Some((e.at, e.what.strip_prefix("POST ")?.to_owned()));
    stage.with(|u| u.effects.iter().filter_map(post).collect())
}

#[test]
fn an_evacuate_that_nova_hears_ten_minutes_late_is_not_carried_out_beside_another() {
    for targets in [Targets::ThisHaNode, Targets::Scheduler] {
        let at = first_evacuate(targets);
        for late in LATE {
            for fault in [Fault::PostsLater, Fault::DiesAndPostsLater] {
                let fault = fault(Duration::from_secs(late));
                let what = format!("{fault:?}, {targets:?}");
                let stage = stage(targets);
                let _reports = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
                stage.wait(Duration::from_secs(1));
                stage.recover_until_settled("ha1");
                stage.wait(Duration::from_secs(700));
                stage.all_is_recovered(&what);
                assert_eq!(posts(&stage).len(), 3, "{what}: {:?}", posts(&stage));
            }
        }
    }
}

#[test]
fn one_that_nova_never_heard_is_asked_for_again_when_its_token_is_taken_no_more() {
    for fault in [Fault::NoAnswer, Fault::DiesBefore] {
        let stage = stage(Targets::Scheduler);
        let at = first_evacuate(Targets::Scheduler);
        let began = stage.time.now();
        let _reports = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
        stage.wait(Duration::from_secs(1));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&format!("{fault:?}"));
        let took = stage.time.now() - began;
        // It is looked for for a minute, Nova forgets within five what keystone revoked, and the rest takes one.
        let (least, most) = (Duration::from_secs(360), Duration::from_secs(460));
        assert!(least < took && took < most, "{fault:?}: {took:?}");
    }
}

#[test]
fn killed_or_unanswered_at_any_call_a_guest_of_the_scheduler_is_built_once() {
    for (at, name) in calls(Targets::Scheduler).iter().enumerate() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter, Fault::NoAnswer, Fault::AnswerLost] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = stage(Targets::Scheduler);
            let outcome = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            let said = stage.recover_until_settled("ha1");
            stage.all_is_recovered(&format!("{what}: {outcome:?}, then {said:?}"));
        }
    }
}

/// The token is on the machine that died: another one waits for its end, and says so.
#[test]
fn another_ha_node_asks_again_only_when_the_token_of_the_dead_one_has_ended() {
    let at = first_evacuate(Targets::Scheduler);
    for late in [None, Some(65), Some(600)] {
        let what = format!("late by {late:?} s");
        let stage = stage(Targets::Scheduler);
        let fault =
            late.map_or(Fault::DiesBefore, |late| Fault::DiesAndPostsLater(Duration::from_secs(late)));
        assert!(block_on(&stage.time, stage.process("ha1", Some((at, fault))).run()).is_none(), "{what}");
        let died = stage.time.now();
        stage.with(|u| {
            u.dies("ha1");
            u.machines.get_mut("ha1").unwrap().power_on = false;
        });
        stage.wait(Duration::from_secs(60));
        let said = what_ha2_says_meanwhile(&stage, Duration::from_secs(300));
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        stage.all_is_recovered(&what);
        assert_eq!(posts(&stage).len(), 3, "{what}");
        // The others of that moment were written down as well, and were to be sent next.
        let lasted = posts(&stage).last().unwrap().0 - died;
        assert!(lasted >= TOKEN_LIFE - Duration::from_secs(60), "{what}: {lasted:?}");
        let reason = said.expect("it says why it waits").reasons.join("; ");
        assert!(reason.contains("it could build a guest twice"), "{what}: {reason}");
    }
}

/// Its note after so long; it is stopped there.
fn what_ha2_says_meanwhile(stage: &Stage, length: Duration) -> Option<WaitingNote> {
    let process = stage.process("ha2", None);
    block_on(&stage.time, async {
        let (mut run, mut time) = (std::pin::pin!(process.run()), std::pin::pin!(stage.time.sleep(length)));
        std::future::poll_fn(|context| {
            let ended = run.as_mut().poll(context).is_ready();
            if ended || time.as_mut().poll(context).is_ready() {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        })
        .await;
    });
    let key = keys::incident(&incident()).preflight(&"ha2".parse().unwrap());
    stage.with(|u| u.kv.get(&key)).map(|entry| parse(&entry.key, &entry.value).unwrap())
}

#[test]
fn while_an_older_ha_node_is_configured_a_whole_life_of_a_token_is_waited() {
    let stage = stage(Targets::Scheduler);
    stage.with(|u| u.kv.remove(&keys::ha_node(&HA_NODES[2].parse().unwrap()).formats()));
    let at = first_evacuate(Targets::Scheduler);
    let died = stage.process("ha1", Some((at, Fault::DiesAndPostsLater(Duration::from_secs(600)))));
    assert!(block_on(&stage.time, died.run()).is_none());
    assert!(stage.guests().values().all(|guest| guest.sent.is_none()), "{:?}", stage.guests());
    stage.wait(Duration::from_secs(1));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("an older HA node is configured");
    assert_eq!(posts(&stage).len(), 3);
}
