//! Evacuations: what is sent, what is refused, what comes of it.

use nova_ha::nova::migrations::MigrationOutcome;
use nova_ha::nova::{Cloud, EvacuateRequest, MigrationStatus, NovaClient, NovaError, Server, VmState};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed, until, with};

async fn arrived(client: &NovaClient, server: &Server) -> Server {
    until("the evacuation is over", || async {
        let found = client.evacuations_of(&server.id).await.unwrap();
        let over = found.first().is_some_and(|newest| newest.status.outcome() != MigrationOutcome::InFlight);
        let now = client.server(&server.id).await.unwrap().unwrap();
        (over && now.task_state.is_none()).then_some(now)
    })
    .await
}

#[tokio::test]
async fn each_kind_goes_out_once_with_its_version_and_body_and_arrives() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let ha1 = || host("ha1");
    let kinds = [
        (
            "g0",
            EvacuateRequest::AttachOnly213 { host: Some(ha1()) },
            "2.13",
            json!({"onSharedStorage": true, "host": "ha1"}),
        ),
        ("g1", EvacuateRequest::Pinned214 { host: ha1() }, "2.14", json!({"host": "ha1"})),
        ("g2", EvacuateRequest::Scheduled268 { host: Some(ha1()) }, "2.68", json!({"host": "ha1"})),
        ("g3", EvacuateRequest::Scheduled268 { host: None }, "2.68", json!({})),
        ("g4", EvacuateRequest::Stopped295 { host: Some(ha1()) }, "2.95", json!({"host": "ha1"})),
    ];
    let mut guests = Vec::new();
    for (name, ..) in &kinds {
        guests.push(guest(&client, "node1", name).await);
    }
    sim.die("node1", &client).await;
    for ((name, request, version, body), server) in kinds.iter().zip(&guests) {
        let id = client.evacuate(&server.id, request, &client.token().await.unwrap().id).await.unwrap();
        let post = sim.posts().await.pop().unwrap();
        assert_eq!((&post["guest"], &post["microversion"]), (&json!(name), &json!(version)));
        assert_eq!((&post["body"], &post["request_id"]), (&json!({"evacuate": body}), &json!(id.as_str())));
        assert!(post["global_request_id"].as_str().unwrap().starts_with("req-"));
    }
    assert_eq!(sim.posts().await.len(), kinds.len());
    for ((name, request, ..), server) in kinds.iter().zip(&guests) {
        let now = arrived(&client, server).await;
        assert_ne!(now.host, Some(host("node1")), "{name}");
        if let Some(target) = request.host() {
            assert_eq!(now.host.as_ref(), Some(target), "{name}");
        }
        let expected = if *name == "g4" { VmState::Stopped } else { VmState::Active };
        assert_eq!(now.vm_state, expected, "{name}");
    }
    assert_eq!(sim.state().await["violations"], json!([]));
}

#[tokio::test]
async fn refusals_are_typed_and_say_that_nothing_happened() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let to = |name: &str| EvacuateRequest::Scheduled268 { host: Some(host(name)) };
    let (g0, g1) = (guest(&client, "node1", "g0").await, guest(&client, "node1", "g1").await);
    let up = client.evacuate(&g0.id, &to("ha1"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(
        matches!(&up, NovaError::BadRequest { message, .. } if message.contains("still in use")),
        "{up:?}"
    );
    sim.die("node1", &client).await;
    sim.sim("guests", json!({"name": "g1", "vm_state": "paused"})).await;
    let paused = client.evacuate(&g1.id, &to("ha1"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(paused, NovaError::Conflict { .. }), "{paused:?}");
    let nowhere =
        client.evacuate(&g0.id, &to("nowhere"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(nowhere, NovaError::NotFound { .. }), "{nowhere:?}");
    let same = client.evacuate(&g0.id, &to("node1"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(same, NovaError::BadRequest { .. }), "{same:?}");
    for error in [up, paused, nowhere, same] {
        assert!(!error.effect_may_have_happened() && !error.is_retryable(), "{error:?}");
        let nova_says = error.request_id().unwrap().as_str().to_owned();
        assert!(sim.posts().await.iter().any(|post| post["request_id"] == nova_says.as_str()), "{error}");
    }
    assert_eq!(client.evacuations_from(&host("node1")).await.unwrap(), []);
}

#[tokio::test]
async fn a_version_that_nova_does_not_speak_is_refused_before_anything_happens() {
    let sim = SimCloud::start(with(seed(), json!({"max_microversion": "2.93"})));
    let client = sim.client();
    let g0 = guest(&client, "node1", "g0").await;
    sim.die("node1", &client).await;
    let error = client
        .evacuate(&g0.id, &EvacuateRequest::Stopped295 { host: None }, &client.token().await.unwrap().id)
        .await
        .unwrap_err();
    assert!(
        matches!(error, NovaError::VersionRefused { .. }) && !error.effect_may_have_happened(),
        "{error:?}"
    );
    assert!(sim.posts().await.is_empty());
}

#[tokio::test]
async fn without_its_directory_a_guest_is_refused_at_2_13_and_rebuilt_at_2_14() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let (g0, g1) = (guest(&client, "node1", "g0").await, guest(&client, "node1", "g1").await);
    sim.sim("guests", json!([{"name": "g0", "disk_on": ["node1"]}, {"name": "g1", "disk_on": ["node1"]}]))
        .await;
    sim.die("node1", &client).await;
    client
        .evacuate(
            &g0.id,
            &EvacuateRequest::AttachOnly213 { host: Some(host("ha1")) },
            &client.token().await.unwrap().id,
        )
        .await
        .unwrap();
    let now = arrived(&client, &g0).await;
    assert_eq!((now.host, now.vm_state), (Some(host("node1")), VmState::Error));
    assert!(now.fault.unwrap().contains("shared storage"));
    client
        .evacuate(
            &g1.id,
            &EvacuateRequest::Pinned214 { host: host("ha1") },
            &client.token().await.unwrap().id,
        )
        .await
        .unwrap();
    assert_eq!(arrived(&client, &g1).await.vm_state, VmState::Active);
    let violations = sim.state().await["violations"].clone();
    assert_eq!(
        (violations[0]["kind"].as_str(), violations[0]["guest"].as_str()),
        (Some("disk_rebuilt_from_image"), Some("g1"))
    );
}

#[tokio::test]
async fn evacuations_are_listed_by_source_over_all_pages_and_by_guest() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let servers = client.servers_on(&host("node1")).await.unwrap();
    sim.die("node1", &client).await;
    sim.sim("guests", json!([{"name": "g1", "fate": "no-valid-host"}, {"name": "g2", "fate": "failed"}]))
        .await;
    for server in &servers {
        client
            .evacuate(
                &server.id,
                &EvacuateRequest::Scheduled268 { host: None },
                &client.token().await.unwrap().id,
            )
            .await
            .unwrap();
    }
    let early = client.evacuations_from(&host("node1")).await.unwrap();
    assert_eq!(early.len(), 9);
    assert!(early.iter().all(|migration| migration.source == host("node1")));
    assert!(early.windows(2).all(|pair| pair[0].created_at >= pair[1].created_at), "newest first");
    for server in &servers {
        arrived(&client, server).await;
        let of = client.evacuations_of(&server.id).await.unwrap();
        assert_eq!(of.len(), 1);
        let expected = match server.name.as_str() {
            "g1" => MigrationStatus::Error,
            "g2" => MigrationStatus::Failed,
            _ => MigrationStatus::Done,
        };
        assert_eq!(of[0].status, expected, "{}", server.name);
    }
    assert_eq!(client.evacuations_from(&host("node10")).await.unwrap(), []);
}

#[tokio::test]
async fn a_source_is_forced_up_only_after_it_settled_its_evacuations() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let (node1, g0) = (host("node1"), guest(&client, "node1", "g0").await);
    sim.die("node1", &client).await;
    client
        .evacuate(
            &g0.id,
            &EvacuateRequest::Pinned214 { host: host("ha1") },
            &client.token().await.unwrap().id,
        )
        .await
        .unwrap();
    arrived(&client, &g0).await;
    let id = client.service(&node1).await.unwrap().unwrap().id;
    let error = client.set_forced_down(&id, false).await.unwrap_err();
    assert!(matches!(error, NovaError::BadRequest { .. }), "{error:?}");
    sim.sim("hosts", json!({"host": "node1", "alive": true})).await;
    assert_eq!(client.evacuations_of(&g0.id).await.unwrap()[0].status, MigrationStatus::Completed);
    client.set_forced_down(&id, false).await.unwrap();
}
