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
    assert!(
        client
            .reset_to_error(&paused.id, &client.token().await.unwrap().id)
            .await
            .unwrap()
            .as_str()
            .starts_with("req-")
    );
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

#[tokio::test]
async fn marks_of_aggregates_server_groups_and_images_are_read_as_the_apis_show_them() {
    let changes = json!({
        "aggregates": [{"name": "rack1", "hosts": ["node1"], "metadata": {"evacuable": "true"}}, {"name": "rack2"}],
        "server_groups": [
            {"name": "apart", "policy": "anti-affinity", "members": ["g0", "g1"]},
            {"name": "soft", "policy": "soft-affinity", "members": ["g2"]},
        ],
        "images": {"img": {"tags": ["evacuable"], "properties": {"nova_ha:recover": "no", "hw_disk_bus": "virtio"}}},
        // Smaller pages than there are groups.
        "max_limit": 1,
    });
    let sim = SimCloud::start(with(seed(), changes));
    let client = sim.client();
    let aggregates = client.aggregates().await.unwrap();
    assert_eq!(aggregates.len(), 2);
    assert_eq!(
        (aggregates[0].hosts.as_slice(), aggregates[0].metadata["evacuable"].as_str()),
        (&["node1".to_owned()][..], "true")
    );
    let groups = client.server_groups().await.unwrap();
    assert_eq!(
        groups.iter().map(|g| (g.name.as_str(), g.is_hard(), g.members.len())).collect::<Vec<_>>(),
        [("apart", true, 2), ("soft", false, 1)]
    );
    let image = client.image("img").await.unwrap().unwrap();
    assert_eq!(
        (image.tags.as_slice(), image.properties["nova_ha:recover"].as_str()),
        (&["evacuable".to_owned()][..], "no")
    );
    assert_eq!(client.image("gone").await.unwrap(), None);
    // An image of a guest that carries no marks.
    let plain = guest(&client, "node10", "other").await.image.unwrap();
    assert!(client.image(&plain).await.unwrap().unwrap().tags.is_empty());
}

#[tokio::test]
async fn a_catalog_without_an_image_store_is_an_error_of_that_call_only() {
    let sim = SimCloud::start(with(seed(), json!({"catalog": {"image": false}})));
    let client = sim.client();
    let error = client.image("img").await.unwrap_err();
    assert!(
        error.to_string().contains("image store") || format!("{error:?}").contains("image store"),
        "{error:?}"
    );
    assert!(!error.effect_may_have_happened());
    client.ping().await.unwrap();
}
