//! Beside the original: its flags stop us where they are, loudly, and are never taken for a recovery of ours.

use std::time::Duration;

use nova_ha::keys;
use nova_ha::monitor::mark::ha_nodes::ha_nodes;
use nova_ha::recovery::report::Result as Outcome;

use super::seams::Fault;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, HOST, incident};

fn in_use(node: &str) -> String {
    keys::ha_node(&node.parse().unwrap()).in_use()
}

fn recovered() -> String {
    keys::host(&HOST.parse().unwrap()).recovered()
}

#[test]
fn a_recovered_that_no_claim_of_ours_wrote_stops_every_ha_node_and_says_so() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.kv.put(&recovered(), "True"));
    for node in HA_NODES {
        let reports = stage.recover(node);
        let [report] = &reports[..] else { panic!("{reports:?}") };
        assert_eq!(report.result, Outcome::Waiting, "{report:?}");
        assert!(
            report.text.contains("status/recovered of compute1 is True, and no HA node of ours"),
            "{report:?}"
        );
        assert!(report.next[0].contains("nova-ha incident abandon compute1@0 --by NAME"), "{report:?}");
        let note = stage.with(|u| u.kv.get(&keys::incident(&incident()).preflight(&node.parse().unwrap())));
        assert!(String::from_utf8(note.unwrap().value).unwrap().contains("status/recovered of compute1"));
    }
    assert!(stage.with(|u| u.effects.clone()).is_empty(), "another's recovery was taken for nobody's");
    assert_eq!(stage.record().holder, None);
    // A person says that it was nobody's.
    stage.with(|u| u.kv.put(&recovered(), "False"));
    stage.recover_until_settled("ha1");
    stage.all_is_recovered("after a person's word");
}

#[test]
fn an_in_use_that_is_older_than_the_failure_stops_its_own_ha_node_only() {
    let stage = Stage::with_votes();
    stage.with(|u| u.kv.put(&in_use("ha3"), "True"));
    let world = stage.process("ha1", None).world();
    stage.mark(&world).1.unwrap();
    let said = block_on(&stage.time, ha_nodes(&world.witness())).unwrap();
    let [line] = &said[..] else { panic!("{said:?}") };
    assert!(line.ha_node.as_str() == "ha3" && line.text().contains("for no incident of ours"), "{line:?}");
    let waits = stage.recover("ha3");
    assert_eq!(waits[0].result, Outcome::Waiting, "{waits:?}");
    assert!(waits[0].text.contains("HA node ha3 is in use, and for no incident of ours"), "{waits:?}");
    assert!(waits[0].next[0].ends_with("nova-ha ha-node free ha3 --by NAME"), "{waits:?}");
    stage.recover_until_settled("ha1");
    stage.with(|u| u.kv.put(&in_use("ha3"), "False"));
    stage.all_is_recovered("beside a leftover");
}

#[test]
fn an_in_use_that_appears_since_the_failure_stops_the_host_at_any_call_before_its_fence() {
    let calls = {
        let stage = Stage::with_dead_host();
        let process = stage.process("ha1", None);
        block_on(&stage.time, process.run()).unwrap().unwrap();
        process.calls()
    };
    let mut shot = Vec::new();
    for (at, name) in calls.iter().enumerate() {
        let what = format!("in use since call {at} ({name})");
        let stage = Stage::with_dead_host();
        let process = stage.process("ha1", Some((at, Fault::OriginalPicks)));
        let reports = block_on(&stage.time, process.run()).unwrap().unwrap();
        stage.nothing_was_broken(&what);
        if stage.with(|u| u.effects.is_empty()) {
            let report = &reports[0];
            assert!(
                report.text.contains("HA node ha3 came into use after compute1 had failed"),
                "{what}: {report:?}"
            );
            assert!(report.next[0].contains("nova-ha ha-node free ha3 --by NAME"), "{what}: {report:?}");
        } else {
            shot.push(at);
        }
        // A person has looked: it was not about this host.
        stage.with(|u| u.kv.put(&in_use("ha3"), "False"));
        stage.wait(Duration::from_secs(70));
        stage.recover_until_settled("ha1");
        stage.all_is_recovered(&what);
    }
    let command = calls.iter().position(|name| name == "switch off").unwrap();
    let first = shot[0];
    assert_eq!(shot, (first..calls.len()).collect::<Vec<_>>(), "once it is our fence, it stays so");
    assert!(
        first <= command && command - first < 10,
        "it looked last at call {first}, and shot at {command}: {calls:?}"
    );
}
