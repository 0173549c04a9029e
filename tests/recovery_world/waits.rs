//! What an HA node says of an incident that waits: since when, and when it was tried last.

use std::time::Duration;

use nova_ha::incident::note::{Again, WaitingNote};
use nova_ha::keys;
use nova_ha::store::Entry;
use nova_ha::tree::record::parse;

use super::stage::Stage;
use super::universe::{HOST, incident};

fn stored(stage: &Stage) -> (Entry, WaitingNote) {
    let key = keys::incident(&incident()).preflight(&"ha1".parse().unwrap());
    let entry = stage.with(|u| u.kv.get(&key)).unwrap();
    let note = parse(&entry.key, &entry.value).unwrap();
    (entry, note)
}

#[test]
fn a_wait_says_when_it_was_tried_last_and_writes_that_once_a_minute_at_most() {
    let stage = Stage::with_dead_host();
    stage.with(|u| u.machines.get_mut(HOST).unwrap().bmc = false);
    stage.recover("ha1");
    let (entry, first) = stored(&stage);
    let tried = first.tried.unwrap();
    assert_eq!((tried.at, tried.again), (first.since, Again::NextRun));
    for _ in 0..4 {
        stage.wait(Duration::from_secs(10));
        stage.recover("ha1");
        assert_eq!(stored(&stage).0.modify_index, entry.modify_index, "within the minute nothing is written");
    }
    stage.wait(Duration::from_secs(30));
    stage.recover("ha1");
    let (_, later) = stored(&stage);
    assert!(later.tried.unwrap().at > tried.at, "{later:?}");
    assert_eq!((later.since, &later.reasons), (first.since, &first.reasons));
}

#[test]
fn beside_an_older_ha_node_a_wait_is_written_as_it_reads_it() {
    let stage = Stage::with_dead_host();
    stage.with(|u| {
        u.machines.get_mut(HOST).unwrap().bmc = false;
        u.kv.remove(&keys::ha_node(&"ha2".parse().unwrap()).formats());
    });
    stage.recover("ha1");
    let (entry, note) = stored(&stage);
    assert_eq!((note.version, note.tried), (1, None));
    stage.wait(Duration::from_secs(90));
    stage.recover("ha1");
    assert_eq!(stored(&stage).0.modify_index, entry.modify_index);
}
