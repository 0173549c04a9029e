//! What the client reads, and how a service is taken out and put back.

use nova_ha::nova::{Cloud, NovaError, PowerState, ServiceState, ServiceStatus, VmState};
use serde_json::json;

use crate::stage::{Stage, host};

#[tokio::test]
async fn ping_says_who_we_are_and_what_nova_speaks() {
    let stage = Stage::with(json!([])).await;
    let info = stage.client.ping().await.unwrap();
    assert_eq!((info.user.as_str(), info.project.as_deref()), ("admin", Some("admin")));
    assert!(info.newest.to_string().starts_with("2."), "{info:?}");
}

#[tokio::test]
async fn a_service_is_found_by_its_exact_host_only() {
    let stage = Stage::with(json!([])).await;
    for name in ["node1", "node10", "ha1"] {
        let service = stage.client.service(&host(name)).await.unwrap().unwrap();
        assert_eq!(
            (service.host, service.state, service.status, service.forced_down),
            (host(name), ServiceState::Up, ServiceStatus::Enabled, false)
        );
    }
    assert_eq!(stage.client.service(&host("node")).await.unwrap(), None);
}

#[tokio::test]
async fn forced_down_disabled_and_enabled_are_read_back() {
    let stage = Stage::with(json!([])).await;
    let (client, node1) = (&stage.client, host("node1"));
    let id = client.service(&node1).await.unwrap().unwrap().id;
    client.set_forced_down(&id, true).await.unwrap();
    let reason = "nova-ha node1@0 ".repeat(15);
    client.disable(&id, reason.trim()).await.unwrap();
    let service = client.service(&node1).await.unwrap().unwrap();
    assert_eq!((service.state, service.status), (ServiceState::Down, ServiceStatus::Disabled));
    assert_eq!((service.forced_down, service.disabled_reason.as_deref()), (true, Some(reason.trim())));
    client.set_forced_down(&id, false).await.unwrap();
    client.enable(&id).await.unwrap();
    let service = client.service(&node1).await.unwrap().unwrap();
    assert_eq!((service.status, service.forced_down), (ServiceStatus::Enabled, false));
    assert_eq!(service.disabled_reason, None);
}

#[tokio::test]
async fn one_answer_says_how_old_a_hosts_report_is_by_two_clocks() {
    let stage = Stage::with(json!([])).await;
    let (client, node1) = (&stage.client, host("node1"));
    let reports = client.reports(&node1).await.unwrap().unwrap();
    assert_eq!(reports.service.host, node1);
    let (moved, date) = (reports.service.record_moved_at().unwrap(), reports.answered_at.unwrap());
    let elsewhere = reports.newest_elsewhere.unwrap();
    for (earlier, later) in [(moved, date), (elsewhere, date)] {
        let age = later.duration_since(earlier).as_secs();
        assert!((-2..60).contains(&age), "{reports:?}");
    }
    assert_eq!(client.reports(&host("node")).await.unwrap(), None);
    // The answer to a change says when the record moved by it.
    let changed = client.set_forced_down(&reports.service.id, true).await.unwrap();
    assert!(changed.forced_down && changed.record_moved_at().is_some_and(|at| at >= moved), "{changed:?}");
    client.set_forced_down(&reports.service.id, false).await.unwrap();
}

#[tokio::test]
async fn guests_are_listed_with_what_decisions_need_and_a_deleted_one_is_none() {
    let stage = Stage::with(json!([
        {"name": "runs", "metadata": {"HA_Enabled": "True"}}, {"name": "off", "vm_state": "stopped"},
        {"name": "frozen", "vm_state": "paused"}, {"name": "kept", "locked": true}, {"name": "more"}
    ]))
    .await;
    let mut names: Vec<String> = stage
        .client
        .servers_on(&host("node1"))
        .await
        .unwrap()
        .into_iter()
        .map(|server| server.name)
        .collect();
    names.sort();
    assert_eq!(names, ["frozen", "kept", "more", "off", "runs"]);
    assert_eq!(stage.client.servers_on(&host("node10")).await.unwrap(), []);
    let runs = stage.on("node1", "runs").await;
    assert_eq!(
        (&runs.vm_state, runs.power_state, runs.task_state.clone()),
        (&VmState::Active, PowerState::Running, None)
    );
    assert!(runs.launched && !runs.locked && runs.image.is_some() && runs.volumes.is_empty());
    assert_eq!(runs.metadata.get("HA_Enabled").map(String::as_str), Some("True"));
    assert_eq!((runs.flavor.vcpus, runs.flavor.ram_mib), (1, 64));
    assert_eq!(runs.host, Some(host("node1")));
    assert_eq!(stage.on("node1", "off").await.vm_state, VmState::Stopped);
    assert_eq!(stage.on("node1", "frozen").await.vm_state, VmState::Paused);
    assert!(stage.on("node1", "kept").await.locked);
    assert_eq!(stage.client.server(&runs.id).await.unwrap().unwrap(), runs);
    stage.tell("guests", json!({"name": "runs", "deleted": true})).await;
    assert_eq!(stage.client.server(&runs.id).await.unwrap(), None);
}

#[tokio::test]
async fn a_host_that_nova_does_not_know_has_not_no_guests() {
    let stage = Stage::with(json!([])).await;
    for error in [
        stage.client.servers_on(&host("node")).await.map(drop).unwrap_err(),
        stage.client.evacuations_from(&host("node")).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, NovaError::NoSuchHost { .. }), "{error:?}");
    }
}
