//! What the client reads of services and guests, and that silence is never taken for an answer.

use nova_ha::nova::{Cloud, NovaError, PowerState, ServiceState, ServiceStatus, VmState};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed, with};

#[tokio::test]
async fn a_service_is_found_by_its_exact_host_only() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    for name in ["node1", "node10"] {
        let service = client.service(&host(name)).await.unwrap().unwrap();
        assert_eq!((service.host, service.state, service.forced_down), (host(name), ServiceState::Up, false));
    }
    for name in ["node", "Node1", "node1."] {
        assert_eq!(client.service(&host(name)).await.unwrap(), None, "{name}");
    }
}

#[tokio::test]
async fn forced_down_disabled_and_enabled_are_read_back() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let node1 = host("node1");
    let id = client.service(&node1).await.unwrap().unwrap().id;
    client.set_forced_down(&id, true).await.unwrap();
    client.disable(&id, "nova-ha node1@0").await.unwrap();
    let service = client.service(&node1).await.unwrap().unwrap();
    assert_eq!((service.state, service.status), (ServiceState::Down, ServiceStatus::Disabled));
    assert_eq!((service.forced_down, service.disabled_reason.as_deref()), (true, Some("nova-ha node1@0")));
    client.set_forced_down(&id, false).await.unwrap();
    client.enable(&id).await.unwrap();
    let service = client.service(&node1).await.unwrap().unwrap();
    assert_eq!((service.state, service.status), (ServiceState::Up, ServiceStatus::Enabled));
    assert_eq!((service.forced_down, service.disabled_reason), (false, None));
}

#[tokio::test]
async fn a_reason_that_nova_would_refuse_is_not_sent() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let id = client.service(&host("node1")).await.unwrap().unwrap().id;
    for reason in [String::new(), "x".repeat(256)] {
        let error = client.disable(&id, &reason).await.unwrap_err();
        assert!(matches!(error, NovaError::NotSent { .. }) && !error.effect_may_have_happened());
    }
    assert_eq!(sim.requests("PUT").await, 0);
    client.disable(&id, &"x".repeat(255)).await.unwrap();
}

#[tokio::test]
async fn all_guests_of_all_pages_are_listed_and_none_of_node10() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let mut names: Vec<String> =
        client.servers_on(&host("node1")).await.unwrap().into_iter().map(|server| server.name).collect();
    names.sort();
    assert_eq!(names, (0..9).map(|n| format!("g{n}")).collect::<Vec<_>>());
    assert_eq!(sim.requests("/servers/detail").await, 3);
    assert_eq!(client.servers_on(&host("node10")).await.unwrap().len(), 1);
    assert_eq!(client.servers_on(&host("ha1")).await.unwrap(), []);
}

#[tokio::test]
async fn a_last_page_that_is_just_full_ends_the_list() {
    let sim = SimCloud::start(with(seed(), json!({"max_limit": 3})));
    assert_eq!(sim.client().servers_on(&host("node1")).await.unwrap().len(), 9);
    assert_eq!(sim.requests("/servers/detail").await, 4);
}

#[tokio::test]
async fn a_host_that_nova_does_not_know_has_not_no_guests() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let error = client.servers_on(&host("node")).await.unwrap_err();
    assert!(matches!(error, NovaError::NoSuchHost { .. }), "{error:?}");
    let error = client.evacuations_from(&host("node")).await.unwrap_err();
    assert!(matches!(error, NovaError::NoSuchHost { .. }), "{error:?}");
}

#[tokio::test]
async fn a_cell_that_is_down_is_an_error_everywhere_and_never_an_empty_list() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let (node10, other) = (host("node10"), guest(&client, "node10", "other").await);
    sim.sim("hosts", json!({"host": "node10", "cell_down": true})).await;
    let errors = [
        client.service(&node10).await.map(drop).unwrap_err(),
        client.servers_on(&node10).await.map(drop).unwrap_err(),
        client.server(&other.id).await.map(drop).unwrap_err(),
        client.evacuations_from(&node10).await.map(drop).unwrap_err(),
        client.evacuations_of(&other.id).await.map(drop).unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, NovaError::CellDown { .. }) && error.is_retryable(), "{error:?}");
    }
    assert_eq!(client.servers_on(&host("node1")).await.unwrap().len(), 9);
}

#[tokio::test]
async fn a_guest_is_shown_with_what_decisions_need() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let guests = json!([
        {"name": "odd", "host": "node10", "vm_state": "paused", "task_state": "powering-off", "power_state": 3,
         "locked": true, "locked_reason": "mine", "metadata": {"HA_Enabled": "False"}, "volume_backed": true,
         "volumes": ["vol-1"], "launched": false},
        {"name": "new", "host": "node10", "vm_state": "from-the-future", "power_state": 9},
    ]);
    sim.sim("guests", guests).await;
    let odd = guest(&client, "node10", "odd").await;
    assert_eq!(
        (&odd.vm_state, odd.task_state.as_ref().map(nova_ha::nova::TaskState::word), odd.power_state),
        (&VmState::Paused, Some("powering-off"), PowerState::Paused)
    );
    assert_eq!((odd.locked, odd.locked_reason.as_deref(), odd.launched), (true, Some("mine"), false));
    assert_eq!((odd.image.as_deref(), odd.volumes.as_slice()), (None, ["vol-1".to_owned()].as_slice()));
    assert_eq!(odd.metadata.get("HA_Enabled").map(String::as_str), Some("False"));
    assert_eq!(
        (odd.host.clone(), odd.hypervisor_hostname.as_deref()),
        (Some(host("node10")), Some("node10.example.org"))
    );
    assert_eq!((odd.flavor.name.as_str(), odd.flavor.vcpus, odd.flavor.ram_mib), ("lab.tiny", 1, 64));
    assert_eq!(client.server(&odd.id).await.unwrap().unwrap(), odd);
    let new = guest(&client, "node10", "new").await;
    assert_eq!(
        (new.vm_state, new.power_state),
        (VmState::Other("from-the-future".into()), PowerState::Other(9))
    );
    assert!(guest(&client, "node10", "other").await.image.is_some());
}

#[tokio::test]
async fn a_deleted_guest_is_none_and_another_404_is_not() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let other = guest(&client, "node10", "other").await;
    sim.fault(json!({"path": "/servers/", "action": "status", "status": 404})).await;
    let error = client.server(&other.id).await.unwrap_err();
    assert!(matches!(error, NovaError::NotFound { .. }), "a proxy's 404 was taken for a deletion");
    sim.sim("guests", json!({"name": "other", "deleted": true})).await;
    assert_eq!(client.server(&other.id).await.unwrap(), None);
}

#[tokio::test]
async fn another_nova_compute_at_the_same_address_is_named() {
    let twin = |name: &str| json!({"name": name, "host_ip": "10.1.1.1"});
    let sim = SimCloud::start(with(seed(), json!({"hosts": [twin("node1"), twin("node1-gpu"), "node10"]})));
    let client = sim.client();
    assert_eq!(client.beside(&host("node1")).await.unwrap(), [host("node1-gpu")]);
    assert!(client.beside(&host("node10")).await.unwrap().is_empty());
}
