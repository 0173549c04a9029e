//! Storage that the HA node takes over by a site's own program: it moves from the dead host to one
//! HA node, and is never on two living machines.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nova_ha::incident::IncidentRecord;
use nova_ha::incident::guest::GuestState;
use nova_ha::incident::journal::Event;
use nova_ha::incident::status::State;
use nova_ha::incident::step::Step;
use nova_ha::keys;
use nova_ha::program::Ended;
use nova_ha::recovery::release;
use nova_ha::recovery::stop::Stop;
use nova_ha::recovery::world::{Place, Programs, Said, World};
use nova_ha::tree::record::parse;
use nova_ha::tree::storage::StrategyName;

use super::disks::directory;
use super::schedules::invariants::Effect;
use super::schedules::weather::{Kind, Request};
use super::seams::{Fault, Process};
use super::stage::{Stage, append_by};
use super::time::block_on;
use super::universe::{HA_NODES, Universe, incident, server};

pub(crate) struct SimPrograms(pub(crate) Arc<Process>);

#[async_trait]
impl Programs for SimPrograms {
    async fn run(&self, program: &Path, args: &[String], stdin: String, _: Duration) -> Result<Said, String> {
        assert_eq!((program.to_str(), args), (Some("/take"), ["--pool".to_owned()].as_slice()));
        let order: serde_json::Value = serde_json::from_str(&stdin).unwrap();
        assert_eq!((&order["version"], &order["host"]), (&1.into(), &"compute1".into()), "{order}");
        let node = self.0.node.clone();
        let verb = order["verb"].as_str().unwrap().to_owned();
        if verb == "take" {
            assert!(order["off"].is_string(), "{order}");
        }
        let lost = || "no answer".to_owned();
        let asked = verb.clone();
        let act = move |u: &mut Universe| Ok(u.storage_program(&node, &asked));
        // Only what changes something may be on its way for long.
        let state = match verb.as_str() {
            "take" => self.0.send(Request::new(&verb, Kind::Disks), lost, act).await?,
            _ => self.0.call(&verb, lost, act).await?,
        };
        let mounted = serde_json::json!([{"what": "pool", "where": "/instances"}]);
        let answer = serde_json::json!({"version": 1, "state": state, "detail": "", "mounted": mounted});
        Ok(Said {
            ended: Ended::Exit(0),
            stdout: answer.to_string().into(),
            cut: false,
            stderr: String::new(),
        })
    }
}

impl Universe {
    /// The guests' disks are on a pool that one machine has at a time; compute1 has it.
    pub(crate) fn on_a_pool(&mut self) {
        for node in HA_NODES {
            let keys = keys::ha_node(&node.parse().unwrap());
            for (key, value) in [
                (keys.storage(), "exec"),
                (keys.storage_exec(), "/take --pool"),
                (keys.nova_mountpoint(), "/instances"),
            ] {
                self.kv.put(&key, value);
            }
        }
        self.pool_on = Some("compute1".to_owned());
    }

    fn storage_program(&mut self, node: &str, verb: &str) -> &'static str {
        let here = self.pool_on.as_deref() == Some(node);
        match verb {
            "release" => {
                let guests =
                    self.servers.values().filter(|s| s.host.as_ref().is_some_and(|h| h.as_str() == node));
                let nobody = guests.count() == 0;
                self.rule(
                    (here || self.pool_on.is_none()) && nobody,
                    format!("{node} releases the pool, here: {here}, no guests: {nobody}"),
                );
                self.did(node, "release".into());
                self.pool_on = None;
                "ready"
            }
            _ if here => "taken",
            "check" => "ready",
            _ => {
                let had_by = self.pool_on.clone().unwrap_or_default();
                let off = self.machines.get(&had_by).is_none_or(|machine| !machine.power_on);
                self.rule(off, format!("{node} takes the pool from {had_by}, which has power"));
                self.did(node, format!("take from {had_by}"));
                self.is_done(node, &Effect::Storage);
                self.pool_comes_to(node);
                "taken"
            }
        }
    }

    /// As the steps of a recovery do it, if the journal is that far.
    pub(crate) fn holder_takes_the_storage(&mut self) {
        let key = keys::incident(&incident()).incident();
        let record: IncidentRecord = parse(&key, &self.kv.get(&key).unwrap().value).unwrap();
        let Some(holder) = record.holder.filter(|_| record.status.next_step() == Some(Step::TakeStorage))
        else {
            return;
        };
        let strategy = Some(StrategyName::Exec);
        let event = Event::Started { step: Step::TakeStorage, strategy, facts: Vec::new() };
        append_by(self, holder.as_str(), event);
        self.pool_comes_to(holder.as_str());
    }

    fn pool_comes_to(&mut self, node: &str) {
        self.pool_on = Some(node.to_owned());
        self.places.clear();
        for number in 1..=3 {
            self.places.insert((node.to_owned(), server(number).id), Place::Directory(directory()));
        }
    }
}

fn pooled() -> Stage {
    let stage = Stage::with_dead_host();
    stage.with(Universe::on_a_pool);
    stage
}

fn calls() -> Vec<String> {
    let stage = pooled();
    let process = stage.process("ha1", None);
    let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
    all_runs_on(&stage, "ha1", &format!("no fault: {reports:?}"));
    process.calls()
}

/// Every guest was asked for once and runs where the pool is; that HA node is used up.
fn all_runs_on(stage: &Stage, node: &str, what: &str) {
    stage.all_runs_on(node, what);
    assert_eq!(stage.with(|u| u.pool_on.clone()).as_deref(), Some(node), "{what}");
}

#[test]
fn killed_at_any_call_it_takes_the_storage_once_and_only_from_a_host_that_is_off() {
    for (at, name) in calls().iter().enumerate() {
        for fault in [Fault::DiesBefore, Fault::DiesAfter] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = pooled();
            let _died = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            stage.wait(Duration::from_secs(1));
            stage.recover_until_settled("ha1");
            all_runs_on(&stage, "ha1", &what);
        }
    }
}

#[test]
fn a_program_that_does_not_answer_is_never_taken_for_an_answer() {
    for (at, name) in
        calls().iter().enumerate().filter(|(_, name)| ["check", "take", "look"].contains(&name.as_str()))
    {
        for fault in [Fault::NoAnswer, Fault::AnswerLost] {
            let what = format!("{fault:?} at call {at} ({name})");
            let stage = pooled();
            let _said = block_on(&stage.time, stage.process("ha1", Some((at, fault))).run());
            stage.nothing_was_broken(&what);
            for _ in 0..3 {
                stage.resume();
                stage.recover_until_settled("ha1");
            }
            all_runs_on(&stage, "ha1", &what);
        }
    }
}

#[test]
fn another_ha_node_takes_it_only_from_one_that_is_proved_off() {
    for (at, name) in calls().iter().enumerate().skip(20) {
        let what = format!("ha1 dies after call {at} ({name})");
        let stage = pooled();
        let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
        // Voted dead, and its power on: it may have the pool mounted.
        stage.with(|u| u.dies("ha1"));
        stage.wait(Duration::from_secs(60));
        let had_it = stage.with(|u| u.pool_on.as_deref() == Some("ha1"));
        let said = stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        if stage.record().status.is_over() {
            continue;
        }
        let pool = stage.with(|u| u.pool_on.clone());
        assert!(!had_it || pool.as_deref() == Some("ha1"), "{what}: {said:?}");
        stage.with(|u| u.machines.get_mut("ha1").unwrap().power_on = false);
        stage.recover_until_settled("ha2");
        stage.nothing_was_broken(&what);
        if had_it && stage.guests().values().all(|guest| matches!(guest.state, GuestState::Recovered { .. }))
        {
            stage.is_closed_without("ha1", "ha2", &what);
        }
    }
}

#[test]
fn what_a_holder_that_is_voted_dead_and_lives_writes_until_it_is_adopted_is_heeded() {
    let first = calls();
    let take = first.iter().position(|name| name == "take").unwrap();
    let started = first[..take].iter().rposition(|name| name == "write").unwrap();
    let voted_dead = || {
        let stage = pooled();
        let _died = block_on(&stage.time, stage.process("ha1", Some((started, Fault::DiesBefore))).run());
        stage.with(|u| u.dies("ha1"));
        stage.wait(Duration::from_secs(60));
        stage
    };
    let adopter = voted_dead();
    let process = adopter.process("ha2", None);
    block_on(&adopter.time, process.run()).unwrap().unwrap();
    all_runs_on(&adopter, "ha2", "ha1 began nothing");
    for (at, name) in process.calls().iter().enumerate() {
        let what = format!("ha1 takes the storage at call {at} of ha2 ({name})");
        let stage = voted_dead();
        let _reports =
            block_on(&stage.time, stage.process("ha2", Some((at, Fault::HolderTakesStorage))).run());
        stage.nothing_was_broken(&what);
    }
}

#[test]
fn what_came_here_by_itself_counts_only_when_whoever_took_it_is_proved_off() {
    let stage = pooled();
    let at = calls().iter().position(|name| name == "evacuate").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesBefore))).run());
    stage.with(|u| u.dies("ha1"));
    stage.wait(Duration::from_secs(60));
    assert!(stage.with(|u| u.pool_on.as_deref() == Some("ha1")));
    // ha2 imported the pool when it booted; ha1 has power and may have it mounted.
    stage.with(|u| u.pool_comes_to("ha2"));
    let said = stage.recover("ha2");
    stage.nothing_was_broken("imported by itself");
    let asked = |u: &mut Universe| u.effects.iter().any(|e| e.by == "ha2" && e.what.starts_with("POST"));
    assert!(!stage.with(asked), "{said:?}");
    assert!(said.iter().any(|report| report.text.contains("ha1 may have the storage")), "{said:?}");
    stage.with(|u| u.machines.get_mut("ha1").unwrap().power_on = false);
    stage.recover_until_settled("ha2");
    all_runs_on(&stage, "ha2", "once ha1 is proved off");
}

#[test]
fn it_is_given_back_only_when_the_incident_is_over_and_no_guest_runs_here() {
    let stage = pooled();
    let released = |stage: &Stage, node: &str| {
        let process = stage.process(node, None);
        let world = process.world();
        let outcome = block_on(&stage.time, run_release(&world));
        stage.nothing_was_broken("release");
        outcome
    };
    // Nobody has it; then one that works on it; then one whose guests run there.
    assert!(released(&stage, "ha1").unwrap_err().to_string().contains("not in use for compute1"));
    let at = calls().iter().position(|name| name == "evacuate").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((at, Fault::DiesAfter))).run());
    assert!(released(&stage, "ha1").unwrap_err().to_string().contains("is open"));
    stage.wait(Duration::from_secs(1));
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "before the release");
    assert!(released(&stage, "ha1").unwrap_err().to_string().contains("3 guests are on ha1"));
    assert!(released(&stage, "ha2").is_err());
    assert_eq!(stage.with(|u| u.pool_on.clone()).as_deref(), Some("ha1"));
    // They were moved away.
    stage.with(|u| u.servers.values_mut().for_each(|s| s.host = Some("compute2".parse().unwrap())));
    // A release that was killed half way left `check` saying *ready*: it is asked to the end.
    stage.with(|u| u.pool_on = None);
    let asked = |stage: &Stage| stage.with(|u| u.effects.iter().filter(|e| e.what == "release").count());
    assert_eq!(asked(&stage), 0);
    released(&stage, "ha1").unwrap();
    assert_eq!(asked(&stage), 1);
    // It is free by that, and has nothing more to give back.
    let in_use = stage.with(|u| u.kv.get(&keys::ha_node(&"ha1".parse().unwrap()).in_use()).unwrap().value);
    assert_eq!(in_use, b"False");
    assert!(released(&stage, "ha1").unwrap_err().to_string().contains("not in use for compute1"));
}

async fn run_release(world: &World) -> Result<String, Stop> {
    release::run(world, &"compute1".parse().unwrap(), "ann").await
}

#[test]
fn an_ha_node_that_booted_since_takes_it_again() {
    let stage = pooled();
    let first = calls().iter().position(|name| name == "evacuate").unwrap();
    let _died = block_on(&stage.time, stage.process("ha1", Some((first, Fault::DiesBefore))).run());
    // Its mount is gone with its boot; nobody else has it.
    stage.with(|u| {
        u.pool_on = None;
        u.places.clear();
    });
    stage.recover_until_settled("ha1");
    all_runs_on(&stage, "ha1", "booted since");
    let takes = stage.with(|u| u.effects.iter().filter(|effect| effect.what.starts_with("take")).count());
    assert_eq!(takes, 2);
}

/// ha1 died right before it asked for the first guest, and is off.
fn taken_by(strategy: &str) -> Stage {
    let stage = || {
        let stage = Stage::with_dead_host();
        if strategy == "exec" {
            stage.with(Universe::on_a_pool);
        }
        stage
    };
    let whole = stage();
    let process = whole.process("ha1", None);
    block_on(&whole.time, process.run()).unwrap().unwrap();
    let first = process.calls().iter().position(|name| name == "evacuate").unwrap();
    let stage = stage();
    let _died = block_on(&stage.time, stage.process("ha1", Some((first, Fault::DiesBefore))).run());
    stage.with(|u| {
        u.dies("ha1");
        u.machines.get_mut("ha1").unwrap().power_on = false;
    });
    stage.wait(Duration::from_secs(60));
    stage
}

#[test]
fn it_is_not_gone_on_with_by_another_strategy_than_it_was_taken_by() {
    for (first, other) in [("exec", "shared"), ("shared", "exec")] {
        let what = format!("taken by {first}, adopted by {other}");
        let stage = taken_by(first);
        stage.with(|u| {
            if other == "exec" {
                u.on_a_pool();
            }
            u.kv.put(&keys::ha_node(&"ha2".parse().unwrap()).storage(), other);
        });
        let reports = stage.recover("ha2");
        stage.nothing_was_broken(&what);
        let [report] = &reports[..] else { panic!("{what}: {reports:?}") };
        let both = format!("ha1 took the storage of compute1 by strategy {first:?}, and ha2 has {other:?}");
        assert!(report.text.contains(&both), "{what}: {report:?}");
        assert!(
            report.next[0].contains(&format!("on an HA node with storage {first}")),
            "{what}: {report:?}"
        );
        assert!(!stage.with(|u| u.effects.iter().any(|effect| effect.by == "ha2")), "{what}: {report:?}");
    }
    // By the same one it goes on.
    let stage = taken_by("exec");
    stage.recover_until_settled("ha2");
    all_runs_on(&stage, "ha2", "by the same strategy");
}

#[test]
fn after_a_take_that_was_killed_only_a_clear_ready_lets_it_be_asked_again() {
    let take = calls().iter().position(|name| name == "take").unwrap();
    let run = |at: usize, fault: Fault| {
        let stage = pooled();
        let process = stage.process("ha1", Some((at, fault)));
        let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        (stage, process.calls().iter().filter(|name| *name == "take").count(), format!("{reports:?}"))
    };
    // Killed, and the `check` after it says *ready*: nobody is needed.
    let (stage, takes, said) = run(take, Fault::NoAnswer);
    all_runs_on(&stage, "ha1", &said);
    assert_eq!(takes, 2, "{said}");
    // Killed when all was done: it is not asked again.
    let (stage, takes, said) = run(take, Fault::AnswerLost);
    all_runs_on(&stage, "ha1", &said);
    assert_eq!(takes, 1, "{said}");
    // Whatever it said, and then nobody can tell.
    assert_eq!(calls()[take + 1], "check");
    let (stage, takes, said) = run(take + 1, Fault::NoAnswer);
    stage.nothing_was_broken(&said);
    assert!(matches!(stage.record().status.state, State::Held { .. }), "{said}");
    assert_eq!((takes, stage.with(|u| u.migrations.len())), (1, 0), "{said}");
}
