//! A closed incident is opened again for the guests that it left held: on everything that a recovery demands, anew.

use std::time::Duration;

use nova_ha::incident::guest::GuestState;
use nova_ha::incident::journal::Event;
use nova_ha::incident::retry::{No, Scene};
use nova_ha::incident::settled::{How, Settled};
use nova_ha::incident::status::State;
use nova_ha::keys;
use nova_ha::nova::{PowerState, VmState};
use nova_ha::recovery::release;
use nova_ha::store::{Op, TxnOutcome};
use nova_ha::tree::record::bytes;

use super::super::md;
use super::super::seams::Fault;
use super::super::stage::Stage;
use super::super::time::{block_on, wall};
use super::super::universe::{HA_NODES, HOST, Universe, incident, server};
use super::super::words::confirm_off;
use super::rebuilt;

/// Closed, with guest3 held; nothing is being done with it any more.
fn closed() -> Stage {
    let stage = rebuilt();
    stage.recover_until_settled("ha1");
    assert_eq!(stage.record().status.state, State::Closed, "{:#?}", stage.journal());
    rests(&stage);
    stage
}

fn rests(stage: &Stage) {
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = None);
}

/// The operations of maria's `nova-ha incident retry`, as she sees the tree now.
fn ops(stage: &Stage, guests: &[String]) -> Result<Vec<Op>, No> {
    let world = stage.process("ha3", None).world();
    let scene = block_on(&stage.time, Scene::read(world.store.as_ref(), &incident())).unwrap().unwrap();
    scene.word("maria", guests, wall(stage.time.now())).unwrap()
}

fn write(stage: &Stage, ops: &[Op]) -> TxnOutcome {
    let world = stage.process("ha3", None).world();
    block_on(&stage.time, world.store.transact(ops)).unwrap()
}

fn retry(stage: &Stage) {
    let written = write(stage, &ops(stage, &[]).unwrap());
    assert!(matches!(written, TxnOutcome::Committed(_)), "{written:?}");
}

fn count(stage: &Stage, what: &str) -> usize {
    stage.with(|u| u.effects.iter().filter(|effect| effect.what.starts_with(what)).count())
}

/// As it was before the retry, for this reason; nobody was asked for, and nothing shot.
fn ended(stage: &Stage, reason: &str) {
    stage.nothing_was_broken(reason);
    let Some(Event::RetryEnded { reason: found }) = stage.journal().pop().map(|entry| entry.what) else {
        panic!("{reason}: {:#?}", stage.journal())
    };
    assert!(found.contains(reason), "{found}");
    assert_eq!(stage.record().status.state, State::Closed);
    assert!(matches!(stage.guests()["guest3"].state, GuestState::Held { .. }));
    assert_eq!((count(stage, "POST"), count(stage, "off")), (2, 1), "{reason}");
    for node in HA_NODES {
        let key = keys::ha_node(&node.parse().unwrap()).in_use();
        assert_eq!(stage.with(|u| u.kv.get(&key)).unwrap().value, b"False", "{reason}: {node}");
    }
}

#[test]
fn a_retry_recovers_what_was_held_by_whichever_ha_node_is_free() {
    for node in ["ha1", "ha2"] {
        let stage = closed();
        retry(&stage);
        stage.wait(Duration::from_secs(70));
        let said = stage.recover_until_settled(node);
        stage.all_is_recovered(&format!("{node}: {said:?}"));
        assert_eq!(count(&stage, "off"), 1, "nothing is shot twice");
        let grounds = stage.journal().into_iter().find_map(|entry| match entry.what {
            Event::Started { facts, .. } if facts.iter().any(|f| f.contains("order of maria")) => Some(facts),
            _ => None,
        });
        assert!(grounds.is_some_and(|facts| facts.iter().any(|fact| fact.starts_with("off: "))));
    }
}

#[test]
fn a_retry_that_is_killed_at_any_call_asks_for_each_guest_once() {
    let calls = {
        let stage = closed();
        retry(&stage);
        let process = stage.process("ha1", None);
        let _reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        stage.all_is_recovered("no fault");
        process.calls()
    };
    for (at, name) in calls.iter().enumerate() {
        let others = [Fault::DiesBefore, Fault::NoAnswer, Fault::AnswerLost];
        // Each call is survived by who died after it; what else may happen there is tried at every third.
        let others = others.iter().filter(|_| at.is_multiple_of(3));
        for fault in [Fault::DiesAfter].iter().chain(others) {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = closed();
            retry(&stage);
            let outcome = block_on(&stage.time, stage.process("ha1", Some((at, *fault))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            let mut said = stage.recover_until_settled("ha1");
            // One that ended before it asked for anything is a person's again.
            if matches!(stage.guests()["guest3"].state, GuestState::Held { .. }) {
                retry(&stage);
                said = stage.recover_until_settled("ha1");
            }
            stage.all_is_recovered(&format!("{what}: {outcome:?}, then {said:?}"));
        }
    }
}

#[test]
fn another_ha_node_goes_on_with_a_retry_whose_holder_died_at_any_call() {
    for at in (0..200).step_by(3) {
        let what = format!("ha1 dies and is off, call {at}");
        let stage = closed();
        retry(&stage);
        let process = stage.process("ha1", Some((at, Fault::DiesAfter)));
        let outcome = block_on(&stage.time, process.run());
        if process.struck().is_none() {
            return;
        }
        stage.with(|u| {
            u.dies("ha1");
            u.machines.get_mut("ha1").unwrap().power_on = false;
        });
        stage.wait(Duration::from_secs(60));
        let said = stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        assert_eq!(stage.record().status.state, State::Closed, "{what}: {outcome:?}, {said:?}");
        assert!(stage.with(|u| u.migrations.len()) <= 3, "{what}");
    }
}

#[test]
fn a_host_that_is_on_again_is_neither_shot_nor_evacuated_by_a_retry() {
    // Its votes are over, or they are not yet; and also against the order.
    for returns in [true, false] {
        let stage = closed();
        retry(&stage);
        stage.with(|u| {
            u.machines.get_mut(HOST).unwrap().power_on = true;
            if returns {
                u.returns(HOST);
            }
        });
        stage.wait(Duration::from_secs(30));
        stage.recover("ha1");
        ended(&stage, if returns { "lives" } else { "is on again" });
    }
}

#[test]
fn nothing_of_the_old_proof_counts_and_what_only_waits_ends_with_the_order() {
    let stage = closed();
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
    // A word of the first recovery, in its time.
    confirm_off(&stage, []);
    let of_device = keys::incident(&incident()).device_off("1.2");
    stage.with(|u| u.kv.put(&of_device, "{}"));
    retry(&stage);
    let said = stage.recover("ha1");
    assert!(stage.with(|u| u.kv.get(&keys::incident(&incident()).confirm_off())).is_none());
    assert!(stage.with(|u| u.kv.get(&of_device)).is_none());
    assert!(said[0].text.contains("no fence level of compute1 can be used"), "{said:?}");
    assert_eq!(stage.record().status.state, State::Active, "the order counts still");
    stage.wait(Duration::from_secs(16 * 60));
    stage.recover("ha1");
    ended(&stage, "no fence level of compute1 can be used");
}

#[test]
fn a_guest_that_its_owner_rebuilds_again_is_held_again_and_nobody_waits() {
    let stage = closed();
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = Some("rebuild_spawning".into()));
    retry(&stage);
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("rebuilt again");
    assert_eq!(stage.record().status.state, State::Closed);
    let guests = stage.guests();
    assert!(
        matches!(&guests["guest3"].state, GuestState::Held { why, cause: Some(_) } if why.contains("rebuild_spawning"))
    );
    assert_eq!(count(&stage, "POST"), 2);
}

#[test]
fn a_guest_is_left_as_it_is_when_it_is_retried() {
    let stage = closed();
    stage.with(|u| {
        let guest = u.servers.get_mut(&server(3).id).unwrap();
        (guest.vm_state, guest.power_state) = (VmState::Paused, PowerState::Paused);
    });
    retry(&stage);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("paused meanwhile");
    stage.with(|u| assert_eq!(u.servers[&server(3).id].vm_state, VmState::Stopped));
}

fn settle(u: &mut Universe, number: usize) {
    let server = server(number).id.to_string();
    let word =
        Settled { version: 1, server: server.clone(), how: How::Lost, by: "ann".into(), at: wall(u.now) };
    u.kv.put(&keys::incident(&incident()).settled(&server), bytes(&word));
}

#[test]
fn a_settled_guest_is_not_looked_at_again() {
    let both = || {
        let stage = Stage::with_dead_host();
        for number in [1, 3] {
            stage.with(|u| {
                u.servers.get_mut(&server(number).id).unwrap().task_state = Some("unshelving".into())
            });
        }
        stage
    };
    let stage = both();
    stage.recover_until_settled("ha1");
    stage.with(|u| {
        u.servers.values_mut().for_each(|server| server.task_state = None);
        settle(u, 1);
    });
    assert_eq!(
        ops(&stage, &[server(1).id.to_string()]),
        Err(No::NotHeld { server: server(1).id.to_string() })
    );
    retry(&stage);
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("settled");
    let guests = stage.guests();
    assert!(matches!(guests["guest1"].state, GuestState::Held { .. }), "{guests:#?}");
    assert!(matches!(guests["guest3"].state, GuestState::Recovered { .. }), "{guests:#?}");
    stage.with(|u| settle(u, 3));
    // And only the one that is named.
    let stage = both();
    stage.recover_until_settled("ha1");
    stage.with(|u| u.servers.values_mut().for_each(|server| server.task_state = None));
    write(&stage, &ops(&stage, &[server(1).id.to_string()]).unwrap());
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("one");
    let guests = stage.guests();
    assert!(matches!(guests["guest1"].state, GuestState::Recovered { .. }), "{guests:#?}");
    assert!(matches!(guests["guest3"].state, GuestState::Held { .. }), "{guests:#?}");
}

#[test]
fn a_held_incident_goes_on_without_the_guest_of_which_a_person_said_what_became_of_it() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.targets_are_dead = true);
    stage.recover_until_settled("ha1");
    assert!(matches!(stage.record().status.state, State::Held { .. }));
    for number in 1..=3 {
        stage.with(|u| settle(u, number));
    }
    stage.resume();
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("settled");
    assert_eq!(stage.record().status.state, State::Closed, "{:#?}", stage.journal());
    assert_eq!(count(&stage, "POST"), 3);
}

#[test]
fn a_host_that_was_given_back_is_not_worked_at_again() {
    let host = keys::host(&HOST.parse().unwrap());
    let changes = [
        (host.epoch(), "1"),
        (host.failed(), "False"),
        (host.recovered(), "False"),
        (host.maintenance(), r#"{"version":1,"on":true,"by":"a"}"#),
        (host.returning(), "x"),
    ];
    for (key, value) in &changes {
        let stage = closed();
        let journal = stage.journal();
        // Said before, and heeded after it.
        retry(&stage);
        stage.with(|u| u.kv.put(key, *value));
        stage.recover("ha1");
        assert_eq!(stage.journal(), journal, "{key}");
        assert!(stage.with(|u| u.kv.get(&keys::incident(&incident()).retry())).is_none(), "{key}");
        assert!(ops(&stage, &[]).is_err(), "{key}");
    }
    let stage = closed();
    let decided = ops(&stage, &[]).unwrap();
    retry(&stage);
    assert!(matches!(write(&stage, &decided), TxnOutcome::Refused(_)), "it was said already");
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
    stage.recover("ha1");
    assert_eq!(ops(&stage, &[]), Err(No::NotClosed { how: "open" }));
}

#[test]
fn a_retry_that_waits_keeps_no_other_host_from_being_marked() {
    let stage = closed();
    stage.with(|u| {
        u.kv.put(keys::POLICY, r#"{"version":1,"storm_limit":1,"off_reads":2}"#);
        u.machines.get_mut(HOST).unwrap().bmc = false;
    });
    // Its marking itself is none of the last hour any more.
    stage.wait(Duration::from_secs(61 * 60));
    retry(&stage);
    stage.recover("ha1");
    assert_eq!(stage.record().status.state, State::Active);
    stage.with(|u| u.dies("compute2"));
    stage.wait(Duration::from_secs(40));
    let world = stage.process("ha1", None).world();
    let (lines, judged) = stage.mark(&world);
    judged.unwrap();
    assert!(lines.iter().any(|line| line.text().contains("compute2: MARKED")), "{lines:?}");
}

#[test]
fn the_ha_node_that_has_the_array_retries_and_no_other() {
    let stage = md::staged();
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = Some("rebuilding".into()));
    stage.recover_until_settled("ha1");
    assert_eq!(stage.record().status.state, State::Closed, "{:#?}", stage.journal());
    rests(&stage);
    retry(&stage);
    let said = stage.recover("ha2");
    assert!(said.iter().any(|report| report.text.contains("HA node ha1 has it")), "{said:?}");
    stage.recover_until_settled("ha1");
    stage.all_runs_on("ha1", "retried");
    // Released, it is the host's again.
    let stage = md::staged();
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = Some("rebuilding".into()));
    stage.recover_until_settled("ha1");
    rests(&stage);
    let release = |stage: &Stage| {
        let world = stage.process("ha1", None).world();
        // Its guests were moved away meanwhile.
        stage.with(|u| {
            let away =
                u.servers.values_mut().filter(|s| s.host.as_ref().is_some_and(|host| host.as_str() == "ha1"));
            away.for_each(|server| server.host = Some("compute2".parse().unwrap()));
        });
        block_on(&stage.time, release::run(&world, &HOST.parse().unwrap(), "ann"))
    };
    let refused = release(&stage).unwrap_err().to_string();
    assert!(refused.contains("are held, and their disks are here: guest3"), "{refused}");
    stage.with(|u| settle(u, 3));
    release(&stage).unwrap();
    assert_eq!(ops(&stage, &[]), Err(No::GivenBack { how: "its storage was released".into() }));
    let stage = md::staged();
    stage.with(|u| u.servers.get_mut(&server(3).id).unwrap().task_state = Some("rebuilding".into()));
    stage.recover_until_settled("ha1");
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    stage.with(|u| u.kv.put(&ha1.in_use_by(), "compute9@0"));
    assert!(matches!(ops(&stage, &[]), Err(No::GivenBack { .. })));
}

#[test]
fn by_itself_only_a_guest_at_rest_is_retried_and_only_while_its_host_is_dead_and_off() {
    let stage = rebuilt();
    stage.recover_until_settled("ha1");
    let opened = |stage: &Stage| {
        stage.journal().iter().filter(|entry| matches!(entry.what, Event::Retried { .. })).count()
    };
    let look = |stage: &Stage, node: &str| {
        stage.wait(Duration::from_secs(601));
        stage.recover(node);
        opened(stage)
    };
    assert_eq!(look(&stage, "ha1"), 0, "it is being rebuilt");
    rests(&stage);
    assert_eq!(look(&stage, "ha2"), 0, "another one recovered it");
    stage.with(|u| u.machines.get_mut(HOST).unwrap().power_on = true);
    assert_eq!(look(&stage, "ha1"), 0, "its host is on");
    stage.with(|u| {
        let host = u.machines.get_mut(HOST).unwrap();
        (host.power_on, host.bmc) = (false, false);
    });
    assert_eq!(look(&stage, "ha1"), 0, "nobody can tell whether it is off");
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = true);
    stage.recover("ha1");
    assert_eq!(opened(&stage), 0, "not before ten minutes are over");
    assert_eq!(look(&stage, "ha1"), 1);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("by itself");
    assert_eq!(count(&stage, "off"), 1);
}

/// The HA node that recovered the host is voted dead, or it was removed: another one looks, and claims anew.
#[test]
fn where_the_ha_node_that_recovered_it_is_gone_another_one_retries_by_itself() {
    let opened = |stage: &Stage| {
        stage.journal().iter().filter(|entry| matches!(entry.what, Event::Retried { .. })).count()
    };
    for gone in ["dead", "removed"] {
        let stage = closed();
        stage.wait(Duration::from_secs(601));
        stage.recover("ha2");
        assert_eq!(opened(&stage), 0, "{gone}: the one that recovered it lives");
        stage.with(|u| match gone {
            "dead" => u.dies("ha1"),
            _ => u.kv.remove(&keys::ha_node(&"ha1".parse().unwrap()).general()),
        });
        stage.wait(Duration::from_secs(601));
        stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
        stage.recover("ha2");
        assert_eq!(opened(&stage), 0, "{gone}: nobody can tell whether its host is off");
        stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = true);
        stage.wait(Duration::from_secs(601));
        stage.recover("ha2");
        assert_eq!(opened(&stage), 1, "{gone}");
        stage.recover_until_settled("ha2");
        stage.all_is_recovered(gone);
        assert_eq!(count(&stage, "off"), 1, "{gone}: nothing is shot in a retry");
        assert_eq!(stage.record().holder.unwrap().as_str(), "ha2", "{gone}");
    }
}
