//! Evacuations: what is refused, what comes of each kind, and the host's way back.

use nova_ha::nova::migrations::MigrationOutcome;
use nova_ha::nova::{Cloud, EvacuateRequest, MigrationStatus, NovaError, Server, VmState};
use serde_json::json;

use crate::stage::{Stage, host, until};

fn pinned() -> EvacuateRequest {
    EvacuateRequest::Pinned214 { host: host("ha1") }
}

/// The guest once its newest evacuation is over, and how that ended.
async fn settled(stage: &Stage, server: &Server) -> (Server, MigrationStatus) {
    until("the evacuation is over", || async {
        let found = stage.client.evacuations_of(&server.id).await.unwrap();
        let newest = found.first().filter(|newest| newest.status.outcome() != MigrationOutcome::InFlight)?;
        let now = stage.client.server(&server.id).await.unwrap().unwrap();
        now.task_state.is_none().then(|| (now, newest.status.clone()))
    })
    .await
}

#[tokio::test]
async fn refusals_are_typed_and_leave_no_migration() {
    let stage = Stage::with(json!([{"name": "runs"}, {"name": "frozen", "vm_state": "paused"}])).await;
    let client = &stage.client;
    let (runs, frozen) = (stage.on("node1", "runs").await, stage.on("node1", "frozen").await);
    let up = client.evacuate(&runs.id, &pinned(), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(
        matches!(&up, NovaError::BadRequest { message, .. } if message.contains("still in use")),
        "{up:?}"
    );
    stage.node1_dies().await;
    let paused = client.evacuate(&frozen.id, &pinned(), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(paused, NovaError::Conflict { .. }), "{paused:?}");
    let to = |name: &str| EvacuateRequest::Scheduled268 { host: Some(host(name)) };
    let nowhere =
        client.evacuate(&runs.id, &to("nowhere"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(nowhere, NovaError::NotFound { .. }), "{nowhere:?}");
    let same = client.evacuate(&runs.id, &to("node1"), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(same, NovaError::BadRequest { .. }), "{same:?}");
    for error in [up, paused, nowhere, same] {
        assert!(!error.effect_may_have_happened() && !error.is_retryable(), "{error:?}");
        assert!(error.request_id().unwrap().as_str().starts_with("req-"), "{error:?}");
    }
    for server in [&runs, &frozen] {
        assert_eq!(client.evacuations_of(&server.id).await.unwrap(), []);
    }
}

#[tokio::test]
async fn each_kind_arrives_and_the_source_is_forced_up_only_after_it_settled_them() {
    let kinds = [
        ("attached", EvacuateRequest::AttachOnly213 { host: Some(host("ha1")) }, VmState::Active),
        ("pinned", pinned(), VmState::Active),
        ("anywhere", EvacuateRequest::Scheduled268 { host: None }, VmState::Active),
        ("named", EvacuateRequest::Scheduled268 { host: Some(host("ha1")) }, VmState::Active),
        ("stops", EvacuateRequest::Stopped295 { host: Some(host("ha1")) }, VmState::Stopped),
        ("was-off", pinned(), VmState::Stopped),
        ("locked", pinned(), VmState::Active),
    ];
    let guests: Vec<_> = kinds
        .iter()
        .map(|(name, ..)| match *name {
            "was-off" => json!({"name": name, "vm_state": "stopped"}),
            "locked" => json!({"name": name, "locked": true}),
            _ => json!({"name": name}),
        })
        .collect();
    let stage = Stage::with(json!(guests)).await;
    let mut servers = Vec::new();
    for (name, ..) in &kinds {
        servers.push(stage.on("node1", name).await);
    }
    stage.node1_dies().await;
    for ((_, request, _), server) in kinds.iter().zip(&servers) {
        let id = stage
            .client
            .evacuate(&server.id, request, &stage.client.token().await.unwrap().id)
            .await
            .unwrap();
        assert!(id.as_str().starts_with("req-"), "{id:?}");
    }
    for ((name, request, expected), server) in kinds.iter().zip(&servers) {
        let (now, status) = settled(&stage, server).await;
        assert_eq!((&status, &now.vm_state), (&MigrationStatus::Done, expected), "{name}");
        assert_ne!(now.host, Some(host("node1")), "{name}");
        if let Some(target) = request.host() {
            assert_eq!(now.host.as_ref(), Some(target), "{name}");
        }
        assert_eq!(now.locked, *name == "locked", "{name}");
        let guest = stage.guest(name).await;
        assert_eq!(guest["disk"], "original", "{guest}");
    }
    let all = stage.client.evacuations_from(&host("node1")).await.unwrap();
    for server in &servers {
        let of = stage.client.evacuations_of(&server.id).await.unwrap();
        assert_eq!(of.len(), 1, "{}", server.name);
        assert!(all.contains(&of[0]), "{} is not among those from node1", server.name);
    }
    assert!(all.windows(2).all(|pair| pair[0].created_at >= pair[1].created_at), "newest first: {all:?}");
    assert!(
        stage.client.servers_on(&host("node1")).await.unwrap().is_empty(),
        "Nova still places some on node1"
    );
    comes_back(&stage, &servers).await;
}

/// The way back of `node1`, whose evacuations are `done`; its guests stay where they are.
async fn comes_back(stage: &Stage, servers: &[Server]) {
    let (client, node1) = (&stage.client, host("node1"));
    let id = client.service(&node1).await.unwrap().unwrap().id;
    let refused = client.set_forced_down(&id, false).await.unwrap_err();
    assert!(matches!(refused, NovaError::BadRequest { .. }), "{refused:?}");
    assert!(client.service(&node1).await.unwrap().unwrap().forced_down);
    stage.tell("hosts", json!({"host": "node1", "alive": true})).await;
    until("its evacuations are completed", || async {
        let found = client.evacuations_from(&node1).await.unwrap();
        let open = found.iter().filter(|migration| {
            migration.status != MigrationStatus::Completed
                && servers.iter().any(|server| server.id == migration.server)
        });
        (open.count() == 0).then_some(())
    })
    .await;
    client.set_forced_down(&id, false).await.unwrap();
    assert!(!client.service(&node1).await.unwrap().unwrap().forced_down);
    for server in servers {
        assert_ne!(
            client.server(&server.id).await.unwrap().unwrap().host,
            Some(node1.clone()),
            "{}",
            server.name
        );
    }
}

#[tokio::test]
async fn without_its_directory_a_guest_is_refused_at_2_13_and_rebuilt_at_2_14() {
    let stage = Stage::with(json!([{"name": "closed"}, {"name": "rebuilt"}])).await;
    let (closed, rebuilt) = (stage.on("node1", "closed").await, stage.on("node1", "rebuilt").await);
    stage.node1_dies().await;
    stage
        .tell("guests", json!([{"name": "closed", "disk_on": []}, {"name": "rebuilt", "disk_on": []}]))
        .await;
    let attach = EvacuateRequest::AttachOnly213 { host: Some(host("ha1")) };
    stage.client.evacuate(&closed.id, &attach, &stage.client.token().await.unwrap().id).await.unwrap();
    let (now, status) = settled(&stage, &closed).await;
    assert_eq!((status, now.vm_state), (MigrationStatus::Failed, VmState::Error));
    assert_eq!(now.host, Some(host("node1")));
    assert!(now.fault.clone().unwrap().contains("shared storage"), "{:?}", now.fault);
    assert_eq!(stage.guest("closed").await["disk"], "original");
    stage.client.evacuate(&rebuilt.id, &pinned(), &stage.client.token().await.unwrap().id).await.unwrap();
    let (now, status) = settled(&stage, &rebuilt).await;
    assert_eq!((status, now.vm_state), (MigrationStatus::Done, VmState::Active));
    assert_eq!(stage.guest("rebuilt").await["disk"], "rebuilt from image");
}
