//! Several hosts, observers that are ill, and looks that were a moment only: who is marked, and who is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use nova_ha::keys;
use nova_ha::monitor::mark::report::{Line, Result as Said};
use nova_ha::monitor::mark::{Request, run};
use nova_ha::store::{
    Check, Entry, NodeHealth, Op, Renewal, SessionId, SessionSpec, Store, StoreError, TxnOutcome,
};

use super::seams::Fault;
use super::stage::Stage;
use super::time::{Time, block_on};
use super::universe::HOST;

/// Three HA nodes and so many hosts, all well, with the policy that is in the code.
fn site(hosts: usize) -> Stage {
    let stage = Stage::of_living();
    stage.with(|u| {
        u.kv.put(keys::POLICY, r#"{"version":1,"off_reads":2}"#);
        (4..=hosts).for_each(|number| u.adds_host(&format!("compute{number}")));
    });
    stage
}

fn marked(stage: &Stage) -> Vec<String> {
    let taken_up = stage.with(|u| u.kv.below(keys::INCIDENTS));
    let opened = stage.with(|u| u.kv.below(keys::OPENED));
    let ids = taken_up.iter().filter_map(|entry| entry.key.strip_suffix("/incident"));
    let ids = ids.chain(opened.iter().map(|entry| entry.key.as_str()));
    let mut ids: Vec<String> = ids.filter_map(|key| key.rsplit('/').next()).map(str::to_owned).collect();
    ids.sort();
    ids
}

fn judge(stage: &Stage, node: &str) -> Vec<Line> {
    let (lines, judged) = stage.mark(&stage.process(node, None).world());
    judged.unwrap();
    lines
}

fn cooldown(stage: &Stage) -> Option<String> {
    stage.with(|u| u.kv.get(keys::COOLDOWN)).map(|entry| String::from_utf8(entry.value).unwrap())
}

#[test]
fn two_hosts_that_die_together_are_both_marked_with_the_default_policy_on_four_hosts_and_not_on_three() {
    let dies = |hosts| {
        let stage = site(hosts);
        stage.with(|u| [HOST, "compute2"].map(|name| u.dies(name)));
        stage.wait(Duration::from_secs(40));
        let lines = judge(&stage, "ha1");
        (stage, lines)
    };
    let (stage, lines) = dies(4);
    assert_eq!(marked(&stage), ["compute1@0", "compute2@0"], "{lines:?}");
    assert!(cooldown(&stage).is_none());
    let (stage, lines) = dies(3);
    assert!(marked(&stage).is_empty());
    assert!(lines.iter().all(|line| line.because.contains("limit 1") && line.attention), "{lines:?}");
}

#[test]
fn of_two_hosts_that_die_together_none_is_marked_until_all_three_ha_nodes_say_so() {
    let stage = site(4);
    stage.with(|u| [HOST, "compute2", "ha3"].map(|name| u.dies(name)));
    stage.wait(Duration::from_secs(40));
    let lines = judge(&stage, "ha1");
    assert!(marked(&stage).is_empty(), "{lines:?}");
    assert!(lines.iter().all(|line| line.because.contains("ha3 does not vote so")), "{lines:?}");
    assert!(lines[0].next.as_deref().is_some_and(|next| next.contains("nova-ha-mark-failed compute1 --by")));
    assert!(cooldown(&stage).is_none(), "as soon as ha3 says so as well they are marked");
}

#[test]
fn an_incident_that_waits_or_is_held_takes_protection_from_no_other_host() {
    for minutes in [1, 20, 45, 61, 23 * 60] {
        let stage = site(4);
        // Its BMC is dead as well: nobody recovers it.
        stage.with(|u| u.dies(HOST));
        stage.wait(Duration::from_secs(40));
        judge(&stage, "ha1");
        stage.wait(Duration::from_secs(60 * minutes));
        stage.with(|u| u.dies("compute2"));
        stage.wait(Duration::from_secs(40));
        let lines = judge(&stage, "ha2");
        assert_eq!(marked(&stage), ["compute1@0", "compute2@0"], "after {minutes} min: {lines:?}");
    }
}

#[test]
fn a_day_has_a_limit_after_which_a_person_decides() {
    let stage = site(10);
    let dead = ["compute1", "compute2", "compute3", "compute4", "compute5"];
    for name in dead {
        stage.with(|u| u.dies(name));
        stage.wait(Duration::from_secs(40));
        let lines = judge(&stage, "ha1");
        let last = lines.iter().find(|line| line.host.as_str() == name).unwrap();
        let is_marked = last.result == Said::Marked;
        assert_eq!(is_marked, name != "compute5", "{last:?}");
        if !is_marked {
            assert!(last.because.contains("4 hosts were marked by votes within 24 h"), "{last:?}");
        }
        stage.wait(Duration::from_secs(2 * 60 * 60));
    }
    stage.wait(Duration::from_secs(16 * 60 * 60));
    judge(&stage, "ha1");
    assert_eq!(marked(&stage).len(), 5, "the first is of yesterday");
}

#[test]
fn a_storm_stops_the_failure_domain_that_it_is_in_and_its_cooldown_does_too() {
    let stage = site(10);
    let policy = r#"{"version":1,"storm_limit":3,"domains":[{"name":"rack1","hosts":["compute1","compute2"],"limit":1}]}"#;
    stage.with(|u| {
        u.kv.put(keys::POLICY, policy);
        for name in ["compute1", "compute2", "compute7"] {
            u.dies(name);
        }
    });
    stage.wait(Duration::from_secs(40));
    let lines = judge(&stage, "ha1");
    assert_eq!(marked(&stage), ["compute7@0"], "{lines:?}");
    let written = cooldown(&stage).expect("seen twice");
    assert!(written.contains(r#""domains":["rack1"]"#) && written.contains("compute2"), "{written}");
    // compute2 is back: what is left of the rack rests, the others do not.
    stage.with(|u| u.returns("compute2"));
    stage.wait(Duration::from_secs(60));
    stage.with(|u| u.dies("compute8"));
    stage.wait(Duration::from_secs(40));
    let lines = judge(&stage, "ha1");
    assert_eq!(marked(&stage), ["compute7@0", "compute8@0"], "{lines:?}");
    let rests = lines.iter().find(|line| line.host.as_str() == HOST).unwrap();
    assert!(rests.because.contains("cool-down") && rests.because.contains("rack1"), "{rests:?}");
}

/// Something changes while `mark-failed` runs.
fn judge_while(stage: &Stage, after: Duration, change: impl FnOnce(&Stage)) -> Vec<Line> {
    let world = stage.process("ha2", None).world();
    let request = Request { hosts: Vec::new(), order: None, sweep: false, machine: "ha2".into() };
    let (witness, mut lines) = (world.witness(), Vec::new());
    let judged = block_on(&stage.time, async {
        let meanwhile = async {
            stage.time.sleep(after).await;
            change(stage);
        };
        join(run(&witness, &request, &mut lines), meanwhile).await.0
    });
    judged.unwrap();
    lines
}

#[test]
fn a_moment_of_gossip_beside_an_observer_that_doubts_itself_is_no_storm_and_is_looked_at_again() {
    let stage = site(4);
    stage.with(|u| u.loses_sight("ha1"));
    stage.wait(Duration::from_secs(40));
    stage.with(|u| u.dies(HOST));
    stage.wait(Duration::from_secs(40));
    // At the moment of the judgement ha3 is *failed* in gossip, for two seconds.
    stage.with(|u| u.machines.get_mut("ha3").unwrap().dead = true);
    let back = |stage: &Stage| stage.with(|u| u.machines.get_mut("ha3").unwrap().dead = false);
    let lines = judge_while(&stage, Duration::from_secs(2), back);
    assert_eq!(marked(&stage), ["compute1@0"], "{lines:?}");
    let line = lines.iter().find(|line| line.result == Said::Marked).unwrap();
    assert!(line.because.contains("(ha2, ha3)"), "{line:?}");
    assert!(cooldown(&stage).is_none_or(|text| !text.contains("storm")), "{:?}", cooldown(&stage));
}

#[test]
fn too_few_observers_that_can_be_believed_cannot_tell_and_begin_no_cooldown() {
    let stage = site(4);
    stage.with(|u| u.loses_sight("ha1"));
    stage.wait(Duration::from_secs(40));
    stage.with(|u| [HOST, "ha3"].map(|name| u.dies(name)));
    stage.wait(Duration::from_secs(40));
    let lines = judge(&stage, "ha2");
    let line = lines.iter().find(|line| line.host.as_str() == HOST).unwrap();
    assert!(line.because.contains("cannot tell: 1 of 2 votes"), "{line:?}");
    assert!(cooldown(&stage).is_none(), "{:?}", cooldown(&stage));
}

#[test]
fn a_storm_is_seen_twice_before_a_cooldown_is_written() {
    let all = ["compute1", "compute2", "compute3"];
    let storm = || {
        let stage = site(4);
        stage.with(|u| all.map(|name| u.dies(name)));
        stage.wait(Duration::from_secs(40));
        stage
    };
    let stage = storm();
    let lines = judge(&stage, "ha1");
    assert!(
        marked(&stage).is_empty() && lines.iter().all(|line| line.because.contains("storm")),
        "{lines:?}"
    );
    let written = cooldown(&stage).expect("it lasts");
    assert!(written.contains(r#""hosts":["compute1","compute2","compute3"]"#), "{written}");
    // Over before the second look: whoever is left is judged as if nothing had been.
    let stage = storm();
    let lines = judge_while(&stage, Duration::from_secs(5), |stage| {
        stage.with(|u| ["compute2", "compute3"].map(|name| u.returns(name)));
    });
    assert!(cooldown(&stage).is_none(), "{lines:?}");
    assert_eq!(marked(&stage), ["compute1@0"], "{lines:?}");
}

/// The machine sleeps for ten minutes at the end of its first look: after its second read of gossip.
struct Asleep(Box<dyn Store>, Arc<Time>, AtomicUsize);

#[async_trait]
impl Store for Asleep {
    async fn serf_health(&self) -> Result<Vec<NodeHealth>, StoreError> {
        let read = self.0.serf_health().await;
        if self.2.fetch_add(1, Ordering::SeqCst) == 1 {
            self.1.sleep(Duration::from_secs(600)).await;
        }
        read
    }
    async fn transact(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
        self.0.transact(ops).await
    }
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.0.get(key).await
    }
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.0.list(prefix).await
    }
    async fn keys(&self, prefix: &str, folders: bool) -> Result<Vec<String>, StoreError> {
        self.0.keys(prefix, folders).await
    }
    async fn create_session(&self, spec: &SessionSpec) -> Result<SessionId, StoreError> {
        self.0.create_session(spec).await
    }
    async fn renew_session(&self, session: &SessionId) -> Result<Renewal, StoreError> {
        self.0.renew_session(session).await
    }
    async fn destroy_session(&self, session: &SessionId) -> Result<(), StoreError> {
        self.0.destroy_session(session).await
    }
    async fn node_checks(&self, node: &str) -> Result<Vec<Check>, StoreError> {
        self.0.node_checks(node).await
    }
    async fn own_node(&self) -> Result<String, StoreError> {
        self.0.own_node().await
    }
    async fn leader(&self) -> Result<Option<String>, StoreError> {
        self.0.leader().await
    }
}

#[test]
fn a_look_that_was_slept_through_marks_nobody_and_is_taken_again() {
    let stage = Stage::with_votes();
    let mut world = stage.process("ha1", None).world();
    // It has booted since its last record: its first look waits until the others' records rise.
    world.boot_id = "another-boot".into();
    world.store = Box::new(Asleep(world.store, Arc::clone(&stage.time), AtomicUsize::new(0)));
    let request = Request { hosts: Vec::new(), order: None, sweep: false, machine: "ha1".into() };
    let (witness, mut lines) = (world.witness(), Vec::new());
    let judged = block_on(&stage.time, async {
        let back = async {
            stage.time.sleep(Duration::from_secs(60)).await;
            stage.with(|u| u.returns(HOST));
        };
        join(run(&witness, &request, &mut lines), back).await.0
    });
    judged.unwrap();
    assert!(!stage.is_marked(), "it was marked on what was so ten minutes ago: {lines:?}");
}

/// compute1 was marked alone, and waits for its shot.
fn marked_alone() -> Stage {
    let stage = site(10);
    stage.with(|u| u.dies(HOST));
    stage.wait(Duration::from_secs(40));
    judge(&stage, "ha1");
    assert_eq!(marked(&stage), ["compute1@0"]);
    stage
}

fn many_more_fail(stage: &Stage) {
    stage.with(|u| ["compute2", "compute3"].map(|name| u.dies(name)));
    stage.wait(Duration::from_secs(40));
}

fn shots(stage: &Stage) -> usize {
    stage.with(|u| u.effects.iter().filter(|effect| effect.what.starts_with("off ")).count())
}

#[test]
fn whoever_was_marked_alone_is_not_shot_as_one_of_many() {
    let stage = marked_alone();
    many_more_fail(&stage);
    let report = stage.recover("ha1").remove(0);
    assert!(report.text.contains("3 hosts") && report.text.contains("limit 2"), "{report:?}");
    assert!(report.next[0].contains("nova-ha-mark-failed compute1 --by NAME"), "{report:?}");
    assert_eq!(shots(&stage), 0);
    // They answer again: it was no storm of hosts.
    stage.with(|u| ["compute2", "compute3"].map(|name| u.returns(name)));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("alone again");
}

#[test]
fn a_cool_down_that_began_since_stands_above_the_shot() {
    let stage = marked_alone();
    many_more_fail(&stage);
    judge(&stage, "ha2");
    stage.wait(Duration::from_secs(10));
    judge(&stage, "ha3");
    assert!(cooldown(&stage).is_some());
    stage.with(|u| ["compute2", "compute3"].map(|name| u.returns(name)));
    let report = stage.recover("ha1").remove(0);
    assert!(report.text.contains("cool-down"), "{report:?}");
    assert_eq!(shots(&stage), 0);
}

#[test]
fn past_the_point_of_no_return_no_guard_stops_a_recovery() {
    let calls = {
        let stage = marked_alone();
        let process = stage.process("ha1", None);
        block_on(&stage.time, process.run()).unwrap().unwrap();
        process.calls()
    };
    let shot = calls.iter().position(|call| call.starts_with("switch off")).expect("it is shot");
    let stage = marked_alone();
    let process = stage.process("ha1", Some((shot, Fault::DiesAfter)));
    assert!(block_on(&stage.time, process.run()).is_none(), "it died with the shot");
    many_more_fail(&stage);
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("a storm after the shot");
}

#[test]
fn the_anchor_is_asked_for_a_host_whose_incident_is_old_and_that_is_not_alone_any_more() {
    let stage = marked_alone();
    let bmc = |answers| stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = answers);
    bmc(false);
    stage.recover("ha1");
    stage.wait(Duration::from_secs(65 * 60));
    // Another one dies within the hour, and is recovered.
    stage.with(|u| u.dies("compute2"));
    stage.wait(Duration::from_secs(40));
    judge(&stage, "ha1");
    let said = stage.recover("ha2");
    let other = said.iter().find(|report| report.incident.host().as_str() == "compute2").unwrap();
    assert!(other.text.starts_with("closed"), "{said:?}");
    bmc(true);
    stage.recover_until_settled("ha1");
    stage.nothing_was_broken("its BMC answers again");
    assert_eq!(
        stage.record().status.state,
        nova_ha::incident::status::State::Closed,
        "{:#?}",
        stage.journal()
    );
}
