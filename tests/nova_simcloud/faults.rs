//! A cloud that answers late, half, too much, nonsense or not at all.

use std::time::{Duration, Instant};

use nova_ha::nova::{Cloud, EvacuateRequest, NovaError};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed};

fn to_ha1() -> EvacuateRequest {
    EvacuateRequest::Pinned214 { host: host("ha1") }
}

#[tokio::test]
async fn a_read_is_repeated_over_a_short_fault() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    for fault in [
        json!({"action": "status", "status": 503, "count": 2}),
        json!({"action": "status", "status": 500, "count": 2}),
        json!({"action": "status", "status": 429, "count": 2, "retry_after": 0}),
        json!({"action": "cut", "count": 2}),
        json!({"action": "drop", "count": 2}),
        json!({"action": "hang", "seconds": 3}),
    ] {
        let mut hit = fault.clone();
        hit["path"] = json!("/os-services");
        sim.fault(hit).await;
        assert!(client.service(&host("node1")).await.unwrap().is_some(), "{fault}");
    }
}

#[tokio::test]
async fn a_login_is_repeated_over_a_short_fault_also_before_an_effect_is_sent() {
    let sim = SimCloud::start(seed());
    sim.fault(json!({"path": "/v3/auth/tokens", "action": "status", "status": 503, "count": 2})).await;
    assert!(sim.client().service(&host("node1")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_read_that_stays_bad_says_how_and_that_nothing_changed() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    client.ping().await.unwrap();
    type Check = fn(&NovaError) -> bool;
    let cases: [(serde_json::Value, Check); 7] = [
        (json!({"action": "status", "status": 503}), |e| {
            matches!(e, NovaError::ServerFault { status: 503, .. })
        }),
        (json!({"action": "status", "status": 429}), |e| matches!(e, NovaError::Throttled { .. })),
        (json!({"action": "cut"}), |e| matches!(e, NovaError::Lost { .. })),
        (json!({"action": "drop"}), |e| matches!(e, NovaError::Lost { .. })),
        (json!({"action": "garbage"}), |e| matches!(e, NovaError::Malformed { .. })),
        (json!({"action": "status", "status": 403}), |e| matches!(e, NovaError::Forbidden { .. })),
        (json!({"action": "status", "status": 302}), |e| matches!(e, NovaError::UnexpectedStatus { .. })),
    ];
    for (fault, expected) in cases {
        let mut hit = fault.clone();
        hit["path"] = json!("/os-services");
        hit["count"] = json!(3);
        sim.fault(hit).await;
        let error = client.service(&host("node1")).await.unwrap_err();
        assert!(expected(&error), "{fault}: {error:?}");
        assert!(!error.effect_may_have_happened(), "{fault}");
        assert!(
            error.to_string().contains("/compute/v2.1/os-services?binary=nova-compute&host=node1"),
            "{error}"
        );
        sim.clear_faults().await;
    }
}

#[tokio::test]
async fn an_answer_of_200_megabytes_is_given_up_at_once_and_not_asked_for_again() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    client.ping().await.unwrap();
    for chunked in [false, true] {
        sim.fault(json!({"path": "/servers/detail", "action": "huge", "chunked": chunked})).await;
        let before = sim.requests("/servers/detail").await;
        let began = Instant::now();
        let error = client.servers_on(&host("node1")).await.unwrap_err();
        assert!(matches!(error, NovaError::TooLarge { limit: 8_388_608, .. }), "{error:?}");
        assert!(error.to_string().contains("/servers/detail?"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(sim.requests("/servers/detail").await, before + 1);
    }
}

#[tokio::test]
async fn a_nova_that_hangs_costs_the_deadline_and_no_more() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let g0 = guest(&client, "node1", "g0").await;
    sim.die("node1", &client).await;
    sim.fault(json!({"action": "hang", "seconds": 20, "count": 4})).await;
    let began = Instant::now();
    let error = client.service(&host("node1")).await.unwrap_err();
    assert!(matches!(error, NovaError::Timeout { .. }) && !error.effect_may_have_happened(), "{error:?}");
    let reading = began.elapsed();
    assert!(
        reading > Duration::from_secs(4) && reading < Duration::from_secs(8),
        "three tries of 1.5 s: {reading:?}"
    );
    let began = Instant::now();
    let error = client.evacuate(&g0.id, &to_ha1(), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(matches!(error, NovaError::Timeout { .. }) && error.effect_may_have_happened(), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(3), "an effect is sent once: {:?}", began.elapsed());
}

#[tokio::test]
async fn an_effect_whose_answer_is_lost_is_sent_once_and_may_have_happened() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let servers = client.servers_on(&host("node1")).await.unwrap();
    sim.die("node1", &client).await;
    let faults = [
        json!({"action": "status", "status": 500, "effect": true}),
        json!({"action": "status", "status": 504, "effect": true}),
        json!({"action": "cut"}),
        json!({"action": "drop", "effect": true}),
        json!({"action": "hang", "seconds": 2, "effect": true}),
        json!({"action": "huge", "effect": true}),
    ];
    for (fault, server) in faults.iter().zip(&servers) {
        let mut hit = fault.clone();
        hit["method"] = json!("POST");
        hit["path"] = json!("/action");
        sim.fault(hit).await;
        let error =
            client.evacuate(&server.id, &to_ha1(), &client.token().await.unwrap().id).await.unwrap_err();
        assert!(error.effect_may_have_happened(), "{fault}: {error:?}");
        assert_eq!(client.evacuations_of(&server.id).await.unwrap().len(), 1, "{fault}");
    }
    assert_eq!(sim.posts().await.len(), faults.len(), "one was sent twice");
}

#[tokio::test]
async fn an_effect_that_nova_had_no_part_in_is_not_repeated_either() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let id = client.service(&host("node1")).await.unwrap().unwrap().id;
    for status in [500, 503] {
        sim.fault(json!({"method": "PUT", "action": "status", "status": status})).await;
        let error = client.set_forced_down(&id, true).await.unwrap_err();
        assert!(error.effect_may_have_happened() && error.is_retryable(), "{error:?}");
    }
    sim.fault(json!({"method": "PUT", "action": "status", "status": 429, "retry_after": 7})).await;
    match client.set_forced_down(&id, true).await.unwrap_err() {
        error @ NovaError::Throttled { retry_after: Some(wait), .. } => {
            assert!(wait == Duration::from_secs(7) && !error.effect_may_have_happened());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(sim.requests("PUT").await, 3);
    assert!(!client.service(&host("node1")).await.unwrap().unwrap().forced_down);
}

#[tokio::test]
async fn a_cloud_that_went_away_is_unreachable_and_nothing_was_sent() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let g0 = guest(&client, "node1", "g0").await;
    drop(sim);
    let error = client.service(&host("node1")).await.unwrap_err();
    assert!(matches!(error, NovaError::Unreachable { .. }), "{error:?}");
    let error = client.evacuate(&g0.id, &to_ha1(), &client.token().await.unwrap().id).await.unwrap_err();
    assert!(error.is_retryable() && !error.effect_may_have_happened(), "{error:?}");
}
