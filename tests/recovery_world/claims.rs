//! Several HA nodes at once: one claims, the others leave it alone.

use std::time::Duration;

use futures_util::future::join_all;
use nova_ha::incident::journal::Event;
use nova_ha::keys;
use nova_ha::monitor::mark::report::Result as Said;
use nova_ha::recovery::report::Result as Outcome;
use nova_ha::tree::record::bytes;

use super::seams::Process;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, HOST, incident};

#[test]
fn of_hundred_interleavings_of_three_ha_nodes_each_has_one_claim_and_one_recovery() {
    for seed in 1..=100_u64 {
        let what = format!("seed {seed}");
        let stage = Stage::with_dead_host();
        let processes: Vec<_> = HA_NODES
            .iter()
            .zip([0x9e37_79b9_7f4a_7c15_u64, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb])
            .map(|(node, salt)| {
                Process::new(node, &stage.time, &stage.universe, None, seed.wrapping_mul(salt))
            })
            .collect();
        let outcomes = block_on(&stage.time, join_all(processes.iter().map(|process| process.run())));
        stage.all_is_recovered(&what);
        let claims = stage.journal().iter().filter(|e| matches!(e.what, Event::Claimed { .. })).count();
        assert_eq!(claims, 1, "{what}: {outcomes:?}");
        let shooters: std::collections::BTreeSet<String> = stage.with(|u| {
            u.effects
                .iter()
                .filter(|e| e.what.starts_with("off") || e.what.starts_with("POST"))
                .map(|e| e.by.clone())
                .collect()
        });
        assert_eq!(shooters.len(), 1, "{what}: {shooters:?}");
    }
}

#[test]
fn a_host_that_returns_before_the_claim_is_neither_shot_nor_recovered() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.returns(HOST));
    stage.wait(Duration::from_secs(1));
    stage.recover("ha2");
    stage.nothing_was_broken("returned");
    assert!(stage.with(|u| u.effects.clone()).is_empty());
}

#[test]
fn an_incident_that_cannot_be_read_is_named_and_hides_no_other() {
    for (key, value) in [("incident", "{"), ("incident", r#"{"version":99}"#), ("lock", "not a holder")] {
        let stage = Stage::with_dead_host();
        let other = |name: &str| format!("ha_cluster/incidents/compute2@0/{name}");
        // Begun like the other one, so that a spoilt lock has an open incident around it.
        let twin = String::from_utf8(bytes(&stage.record())).unwrap().replace(HOST, "compute2");
        stage.with(|u| {
            u.kv.put(&other("incident"), twin);
            u.kv.put(&other(key), value);
        });
        let reports = stage.recover("ha1");
        stage.all_is_recovered(&format!("{key} {value}"));
        let unreadable = reports.iter().find(|report| report.result == Outcome::Unreadable).unwrap();
        assert!(unreadable.needs_attention(), "{unreadable:?}");
        assert!(unreadable.text.contains(&other(key)), "{unreadable:?}");
        assert!(!unreadable.next.is_empty(), "{unreadable:?}");
    }
}

#[test]
fn the_host_of_an_incident_that_cannot_be_read_is_not_marked() {
    let stage = Stage::with_votes();
    stage.with(|u| u.kv.put("ha_cluster/incidents/compute1@0/incident", "{"));
    let (lines, judged) = stage.mark(&stage.process("ha1", None).world());
    judged.unwrap();
    let line = lines.iter().find(|line| line.host.as_str() == HOST).unwrap();
    assert!(line.attention && line.because.contains("compute1@0/incident"), "{line:?}");
    assert!(!lines.iter().any(|line| line.result == Said::Marked), "{lines:?}");
}

#[test]
fn an_ended_incident_is_removed_only_when_the_storm_guard_counts_it_no_more() {
    let stage = Stage::with_dead_host();
    stage.recover("ha1");
    stage.all_is_recovered("before it is removed");
    stage.with(|u| {
        let policy = r#"{"version":1,"storm_limit":3,"off_reads":2,"keep_closed_incidents":0}"#;
        u.kv.put(keys::POLICY, policy);
        u.kv.put(&keys::host(&HOST.parse().unwrap()).epoch(), "1");
    });
    let is_there = || {
        stage.recover("ha1");
        stage.with(|u| u.kv.get(&keys::incident(&incident()).incident())).is_some()
    };
    assert!(is_there(), "hosts that die within the hour would not be counted together");
    stage.wait(Duration::from_secs(23 * 60 * 60));
    assert!(is_there(), "the markings of a day would not be counted");
    stage.wait(Duration::from_secs(60 * 60));
    assert!(!is_there());
}
