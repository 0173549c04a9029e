//! An effect without an answer: once its token is revoked it is not carried out any more, however late it is heard.

use std::time::Duration;

use nova_ha::nova::{Cloud, EvacuateRequest, NovaError, TokenId};
use serde_json::json;

use crate::cloud::{SimCloud, guest, host, seed};

fn to_ha1() -> EvacuateRequest {
    EvacuateRequest::Pinned214 { host: host("ha1") }
}

#[tokio::test]
async fn an_evacuate_that_nova_hears_after_its_token_was_revoked_is_refused() {
    let sim = SimCloud::start(seed());
    let folder = tempfile::tempdir().unwrap();
    let client = sim.client().keeping_tokens(folder.path().join("tokens"));
    let (late, fresh) = (guest(&client, "node1", "g0").await, guest(&client, "node1", "g1").await);
    sim.die("node1", &client).await;
    let token = client.token().await.unwrap();
    assert!(token.now < token.ends && token.life > Duration::from_secs(3_000), "{token:?}");
    sim.fault(json!({"method": "POST", "path": "/action", "action": "delay", "seconds": 3})).await;
    let error = client.evacuate(&late.id, &to_ha1(), &token.id).await.unwrap_err();
    assert!(error.effect_may_have_happened(), "{error:?}");
    // Another process on this machine, after that one has died.
    let next = sim.client().keeping_tokens(folder.path().join("tokens"));
    let after = next.revoke(&token.id).await.unwrap().unwrap();
    assert!(after >= token.now, "{after} {token:?}");
    assert_eq!(next.revoke(&token.id).await.unwrap(), Some(after), "known already");
    assert_eq!(next.revoke(&TokenId::new_one()).await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert!(client.evacuations_of(&late.id).await.unwrap().is_empty(), "it was carried out");
    assert!(sim.posts().await.is_empty(), "{:?}", sim.posts().await);
    // What is sent with that token now did nothing, and says so; a new one is taken.
    let error = client.evacuate(&fresh.id, &to_ha1(), &token.id).await.unwrap_err();
    assert!(!error.effect_may_have_happened(), "{error:?}");
    let token = client.token().await.unwrap();
    client.evacuate(&fresh.id, &to_ha1(), &token.id).await.unwrap();
}

#[tokio::test]
async fn an_effect_is_sent_with_the_token_that_was_named_or_not_at_all() {
    let sim = SimCloud::start(seed());
    let client = sim.client();
    let g0 = guest(&client, "node1", "g0").await;
    let token = client.token().await.unwrap();
    client.set_aside(&token.id).await;
    let error = client.evacuate(&g0.id, &to_ha1(), &token.id).await.unwrap_err();
    assert!(matches!(error, NovaError::NotSent { .. }), "{error:?}");
    assert_ne!(client.token().await.unwrap().id, token.id);
    // A token that ended early is no reason to send it with another one: the ledger has named this one.
    let token = client.token().await.unwrap();
    sim.fault(json!({"expire_tokens": true})).await;
    let error = client.evacuate(&g0.id, &to_ha1(), &token.id).await.unwrap_err();
    assert!(matches!(error, NovaError::Unauthorized { .. }), "{error:?}");
    assert!(sim.posts().await.is_empty());
}
