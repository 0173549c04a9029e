//! What a recovery does beside evacuating: reset before, stop after, and the live migrations that a
//! dead host left.

use nova_ha::nova::{Cloud, NovaError, VmState};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed, until, with};

#[tokio::test]
async fn a_paused_guest_is_reset_to_error_and_a_running_one_is_stopped() {
    let guests = json!([
        {"name": "p", "host": "node1", "vm_state": "paused", "power_state": 3},
        {"name": "r", "host": "node1"},
    ]);
    let sim = SimCloud::start(with(seed(), json!({"guests": guests})));
    let client = sim.client();
    let paused = guest(&client, "node1", "p").await;
    assert_eq!(paused.vm_state, VmState::Paused);
    assert!(client.reset_to_error(&paused.id).await.unwrap().as_str().starts_with("req-"));
    let now = client.server(&paused.id).await.unwrap().unwrap();
    assert_eq!((now.vm_state, now.task_state), (VmState::Error, None));

    let running = guest(&client, "node1", "r").await;
    client.stop(&running.id).await.unwrap();
    until("it is stopped", || async {
        let now = client.server(&running.id).await.unwrap().unwrap();
        (now.vm_state == VmState::Stopped).then_some(())
    })
    .await;
    let again = client.stop(&running.id).await.unwrap_err();
    assert!(matches!(again, NovaError::Conflict { .. }), "{again}");
    assert_eq!(sim.requests("POST /compute/v2.1/servers/").await, 3);
}

#[tokio::test]
async fn live_migrations_of_either_end_are_listed_newest_first_and_evacuations_are_not() {
    let moves = json!([
        {"guest": "g0", "status": "queued", "dest": "node10"},
        {"guest": "g1", "status": "running", "dest": "node10"},
        {"guest": "other", "status": "running", "dest": "node1"},
        {"guest": "g2", "status": "finished", "dest": "node10", "type": "resize"},
    ]);
    let sim = SimCloud::start(with(seed(), json!({"moves": moves})));
    let client = sim.client();
    let found = client.live_migrations_at(&host("node1")).await.unwrap();
    let seen: Vec<(String, &str)> = found.iter().map(|m| (m.status.to_string(), m.source.as_str())).collect();
    let expected = [("running", "node10"), ("running", "node1"), ("queued", "node1")];
    assert_eq!(seen, expected.map(|(status, source)| (status.to_owned(), source)));
    assert_eq!(client.live_migrations_at(&host("ha1")).await.unwrap(), []);
    // What a dead host left is no evacuation.
    assert_eq!(client.evacuations_from(&host("node1")).await.unwrap(), []);
}
