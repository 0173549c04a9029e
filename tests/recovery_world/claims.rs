//! Several HA nodes at once: one claims, the others leave it alone.

use std::time::Duration;

use futures_util::future::join_all;
use nova_ha::incident::journal::Event;

use super::seams::Process;
use super::stage::Stage;
use super::time::block_on;
use super::universe::{HA_NODES, HOST};

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
