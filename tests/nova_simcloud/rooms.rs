//! What placement says is free, and that its silence is an error.

use nova_ha::nova::{Cloud, EvacuateRequest, NovaClient, NovaError, Room};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed, until, with};

fn slots() -> serde_json::Value {
    with(
        seed(),
        json!({"hosts": [{"name": "node1", "slots": 9}, "node10"], "ha_nodes": [{"name": "ha1", "slots": 4}],
               "evacuate_seconds": 0.05}),
    )
}

async fn free(client: &NovaClient, name: &str) -> Option<u64> {
    client.rooms(&[host(name)]).await.unwrap().first().map(|room| room.vcpus)
}

#[tokio::test]
async fn room_is_what_is_free_on_that_host() {
    let sim = SimCloud::start(slots());
    let client = sim.client();
    let rooms = client.rooms(&[host("ha1")]).await.unwrap();
    assert_eq!(rooms, [Room { host: host("ha1"), vcpus: 4, memory_mib: 4 * 64, disk_gib: None }]);
    // A full one has none to show, and one that nobody knows neither.
    assert_eq!(client.rooms(&[host("node1"), host("node")]).await.unwrap(), []);
    let all = client.rooms(&[]).await.unwrap();
    let names: Vec<&str> = all.iter().map(|room| room.host.as_str()).collect();
    assert_eq!(names, ["node10", "ha1"], "a full one is left out: {all:?}");
}

#[tokio::test]
async fn a_host_that_is_disabled_has_room_only_by_its_name() {
    let sim = SimCloud::start(slots());
    let client = sim.client();
    let id = client.service(&host("ha1")).await.unwrap().unwrap().id;
    client.disable(&id, "reserved").await.unwrap();
    assert_eq!(free(&client, "ha1").await, Some(4));
    assert!(client.rooms(&[]).await.unwrap().iter().all(|room| room.host != host("ha1")));
}

#[tokio::test]
async fn a_source_keeps_what_it_gave_away_until_its_nova_compute_starts() {
    let sim = SimCloud::start(slots());
    let client = sim.client();
    let g0 = guest(&client, "node1", "g0").await;
    sim.die("node1", &client).await;
    client
        .evacuate(
            &g0.id,
            &EvacuateRequest::AttachOnly213 { host: Some(host("ha1")) },
            &client.token().await.unwrap().id,
        )
        .await
        .unwrap();
    let done = || async {
        let found = client.evacuations_of(&g0.id).await.unwrap();
        found.iter().any(|migration| migration.status.to_string() == "done").then_some(())
    };
    until("the evacuation is done", done).await;
    assert_eq!(free(&client, "ha1").await, Some(3));
    assert_eq!(free(&client, "node1").await, None, "nine guests and nine slots, also without g0");
    sim.sim("hosts", json!({"host": "node1", "alive": true})).await;
    assert_eq!(free(&client, "node1").await, Some(1));
}

#[tokio::test]
async fn placement_away_is_an_error_and_never_no_room() {
    let sim = SimCloud::start(with(slots(), json!({"catalog": {"placement": false}})));
    let error = sim.client().rooms(&[]).await.unwrap_err();
    assert!(matches!(error, NovaError::Catalog { .. }), "{error:?}");
    let sim = SimCloud::start(slots());
    let client = sim.client();
    for fault in [
        json!({"path": "/placement/", "action": "status", "status": 503, "count": 9}),
        json!({"path": "/placement/", "action": "garbage", "count": 9}),
        json!({"path": "/placement/", "action": "status", "status": 403, "count": 9}),
    ] {
        sim.fault(fault.clone()).await;
        let error = client.rooms(&[host("ha1")]).await.unwrap_err();
        assert!(!error.effect_may_have_happened(), "{fault}: {error:?}");
        sim.clear_faults().await;
    }
    assert_eq!(free(&client, "ha1").await, Some(4));
}
