//! Marking while the tree moves or Consul goes away: nothing that was done goes unsaid.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join;
use nova_ha::keys;
use nova_ha::monitor::leaderless;
use nova_ha::monitor::mark::report::Result as Said;
use nova_ha::monitor::mark::{Request, run};
use nova_ha::store::{
    Check, Entry, NodeHealth, Op, Refusal, Renewal, SessionId, SessionSpec, Store, StoreError, TxnOutcome,
};

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::HOST;

/// The tree moves under every marking.
struct AlwaysMoved(Box<dyn Store>);

#[async_trait]
impl Store for AlwaysMoved {
    async fn transact(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
        if ops.iter().all(|op| matches!(op, Op::GetTree(_))) {
            return self.0.transact(ops).await;
        }
        Ok(TxnOutcome::Refused(vec![Refusal { key: ops[0].key().to_owned(), what: "index is stale".into() }]))
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
    async fn serf_health(&self) -> Result<Vec<NodeHealth>, StoreError> {
        self.0.serf_health().await
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
fn a_host_that_could_never_be_judged_in_peace_is_named() {
    let stage = Stage::with_votes();
    let mut world = stage.process("ha1", None).world();
    world.store = Box::new(AlwaysMoved(world.store));
    let (lines, judged) = stage.mark(&world);
    judged.unwrap();
    assert!(!stage.is_marked());
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.host.as_str() == HOST && line.result == Said::No && line.attention, "{line:?}");
    assert!(line.because.contains("not judged"), "{line:?}");
    assert_eq!(line.next.as_deref(), Some("nova-ha-mark-failed compute1"));
}

#[test]
fn what_was_marked_is_said_although_consul_falls_silent_afterwards() {
    let calls = {
        let stage = Stage::with_votes();
        let marker = stage.process("ha1", None);
        stage.mark(&marker.world()).1.unwrap();
        marker.calls().len()
    };
    let mut said_beside_an_error = 0;
    for call in 0..calls {
        let stage = Stage::with_votes();
        let marker = stage.process("ha1", Some((call, Fault::NoAnswer)));
        let (lines, judged) = stage.mark(&marker.world());
        let said = lines.iter().any(|line| line.result == Said::Marked);
        assert_eq!(said, stage.is_marked(), "call {call}: {lines:?} {judged:?}");
        said_beside_an_error += usize::from(said && judged.is_err());
    }
    assert!(said_beside_an_error > 0, "no fault came after the marking");
}

#[test]
fn a_cooldown_is_counted_to_its_end_whatever_the_wall_clock_says_and_is_then_removed() {
    let stage = Stage::with_votes();
    // Written an hour ago by this machine's wall clock: it is ahead.
    let record = r#"{"version":1,"cause":"leader_lost","began_at":"2020-01-01T00:00:00Z","seconds":900}"#;
    stage.with(|u| u.kv.put(keys::COOLDOWN, record));
    let said = |node: &str| {
        let (lines, judged) = stage.mark(&stage.process(node, None).world());
        judged.unwrap();
        lines.into_iter().find(|line| line.host.as_str() == HOST).unwrap()
    };
    let first = said("ha1");
    assert!(first.because.contains("a cool-down is in force (Consul had no leader)"), "{first:?}");
    stage.wait(Duration::from_secs(880));
    let last = said("ha1");
    assert!(last.because.contains("a cool-down is in force (Consul had no leader)"), "{last:?}");
    // Another machine that sees it for the first time counts for itself.
    let late = said("ha2");
    assert!(late.because.contains("a cool-down is in force (Consul had no leader)"), "{late:?}");
    assert!(!stage.is_marked());
    stage.wait(Duration::from_secs(30));
    assert_eq!(said("ha1").result, Said::Marked);
    assert!(stage.with(|u| u.kv.get(keys::COOLDOWN)).is_none(), "whoever counted to the end removes it");
}

#[test]
fn a_leader_that_one_ha_node_lost_holds_up_nobody() {
    let stage = Stage::with_votes();
    let world = stage.process("ha1", None).world();
    // A start of its agent, or a network of its own that was cut: it met no leader for 20 s, a moment ago.
    for at in [10_010, 10_030] {
        leaderless::met(&world.run_dir, &world.boot_id, Duration::from_secs(at)).unwrap();
    }
    let (lines, judged) = stage.mark(&world);
    judged.unwrap();
    assert!(stage.is_marked(), "{lines:?}");
    assert!(stage.with(|u| u.kv.get(keys::COOLDOWN)).is_none());
}

#[test]
fn an_ha_node_whose_names_cannot_be_read_costs_its_own_vote_only() {
    let names = |node: &str| keys::ha_node(&node.parse().unwrap()).names();
    let stage = Stage::with_votes();
    stage.with(|u| u.kv.put(&names("ha3"), "{"));
    let (lines, judged) = stage.mark(&stage.process("ha1", None).world());
    judged.unwrap();
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.result == Said::Marked && line.because.starts_with("2 of 2 votes (ha1, ha2)"), "{line:?}");

    // It still counts for the quorum: what is left of the others does not become a majority by it.
    let stage = Stage::with_votes();
    stage.with(|u| ["ha2", "ha3"].map(|node| u.kv.put(&names(node), "{")));
    let (lines, judged) = stage.mark(&stage.process("ha1", None).world());
    judged.unwrap();
    assert!(!stage.is_marked(), "{lines:?}");
}

#[test]
fn a_record_that_cannot_be_understood_costs_its_observer_the_vote_and_nobody_else_anything() {
    let host = keys::host(&HOST.parse().unwrap());
    let record = |node: &str| host.observer(&node.parse().unwrap());
    for said in ["{", "", r#"{"version":99}"#, r#"{"version":1,"observer":"ha1"}"#] {
        let stage = Stage::with_votes();
        stage.with(|u| u.kv.put(&record("ha3"), said));
        let (lines, judged) = stage.mark(&stage.process("ha1", None).world());
        judged.unwrap();
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(
            line.result == Said::Marked && line.because.starts_with("2 of 2 votes (ha1, ha2)"),
            "{line:?}"
        );
        // It is judged again on the same before the shot.
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(said);

        let stage = Stage::with_votes();
        stage.with(|u| ["ha2", "ha3"].map(|node| u.kv.put(&record(node), said)));
        let (lines, judged) = stage.mark(&stage.process("ha1", None).world());
        judged.unwrap();
        assert!(!stage.is_marked(), "{lines:?}");
        assert!(lines.iter().any(|line| line.because.contains("cannot be understood")), "{lines:?}");
    }
}

#[test]
fn a_host_that_cannot_be_judged_again_waits_and_names_the_key() {
    let stage = Stage::with_dead_host();
    let key = keys::host(&HOST.parse().unwrap()).agent();
    stage.with(|u| u.kv.put(&key, "perhaps"));
    let reports = stage.recover("ha1");
    let said = format!("{reports:?}");
    assert!(said.contains(&format!("{key} cannot be understood")), "{said}");
    assert!(said.contains(&format!("consul kv get {key}")), "{said}");
    assert!(stage.with(|u| u.machines[HOST].power_on), "it was shot on what nobody can read");
}

#[test]
fn an_agent_that_is_back_while_records_are_waited_for_is_heeded() {
    let stage = Stage::with_votes();
    let process = stage.process("ha1", None);
    let mut world = process.world();
    // It has booted since its last record: nothing of its own tells how old the others' are.
    world.boot_id = "another-boot".into();
    let request = Request { hosts: Vec::new(), order: None, sweep: false, machine: "ha1".into() };
    let (witness, mut lines) = (world.witness(), Vec::new());
    let judged = block_on(&stage.time, async {
        let back = async {
            stage.time.sleep(Duration::from_secs(3)).await;
            stage.with(|u| u.machines.get_mut(HOST).unwrap().dead = false);
        };
        join(run(&witness, &request, &mut lines), back).await.0
    });
    judged.unwrap();
    assert!(!stage.is_marked(), "{lines:?}");
    assert!(lines[0].because.contains("its Consul agent answers"), "{lines:?}");
}
