//! What Consul really answers to a token that may not, and what the client makes of it.
//!
//! The table in `nova_ha::consul` is this file in words; our ACL policies rest on it.

use std::time::Duration;

use crate::support::consul_agent::{Agent, MASTER};
use nova_ha::consul::Consul;
use nova_ha::store::{Op, Renewal, SessionId, SessionSpec, Store, StoreError, TxnOutcome};
use serde_json::json;

const HOSTS: &str = "ha_cluster/compute_nodes/";

fn denied<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
    match answer {
        Err(StoreError::Denied { doing, message, .. }) => format!("{doing}: {message}"),
        other => panic!("not denied: {other:?}"),
    }
}

async fn tree(agent: &Agent) {
    let keys = ["h1/status/failed", "h2/", "h2/status/failed", "h3/status/failed", "h3/config/bmc/password"];
    let ops = keys.map(|key| Op::Set(format!("{HOSTS}{key}"), b"False".to_vec()));
    assert!(matches!(agent.client().transact(&ops).await.unwrap(), TxnOutcome::Committed(_)));
}

async fn committed(consul: &Consul, ops: &[Op]) -> Vec<String> {
    match consul.transact(ops).await.unwrap() {
        TxnOutcome::Committed(entries) => entries.into_iter().map(|e| e.key).collect(),
        TxnOutcome::Refused(refusals) => panic!("{refusals:?}"),
    }
}

#[tokio::test]
async fn a_denied_key_is_denied_but_a_denied_prefix_looks_empty() {
    let agent = Agent::start_with_acl(json!({})).await;
    tree(&agent).await;
    let token = agent.token("elsewhere", r#"key "elsewhere" { policy = "read" }"#).await;
    let consul = agent.client_with_token(&token);
    // An exact key: the same whether it exists or not.
    denied(consul.get(&format!("{HOSTS}h1/status/failed")).await);
    denied(consul.get(&format!("{HOSTS}absent")).await);
    assert_eq!(consul.get("elsewhere").await.unwrap(), None);
    // A prefix: as if nothing were there.
    assert!(consul.list(HOSTS).await.unwrap().is_empty());
    assert!(consul.keys(HOSTS, false).await.unwrap().is_empty());
    assert!(consul.keys(HOSTS, true).await.unwrap().is_empty());
    // Health: likewise.
    assert!(consul.serf_health().await.unwrap().is_empty());
    assert!(consul.node_checks("node1").await.unwrap().is_empty());
    assert!(consul.checks_in_state(None).await.unwrap().is_empty());
    // The agent: denied. Who leads: everybody may ask.
    denied(consul.own_node().await);
    assert!(consul.leader().await.unwrap().is_some());
}

#[tokio::test]
async fn the_anonymous_token_is_denied_the_same_way_and_an_unknown_one_everywhere() {
    let agent = Agent::start_with_acl(json!({})).await;
    tree(&agent).await;
    let mut settings = agent.settings();
    settings.token = None;
    let anonymous = Consul::new(&settings).unwrap();
    denied(anonymous.get(&format!("{HOSTS}h1/status/failed")).await);
    assert!(anonymous.list(HOSTS).await.unwrap().is_empty());
    assert!(anonymous.serf_health().await.unwrap().is_empty());

    let unknown = agent.client_with_token("00000000-0000-4000-8000-000000000bad");
    for said in [
        denied(unknown.get("x").await),
        denied(unknown.list(HOSTS).await),
        denied(unknown.keys(HOSTS, true).await),
        denied(unknown.serf_health().await),
        denied(unknown.own_node().await),
        denied(unknown.transact(&[Op::GetTree(HOSTS.into())]).await),
        denied(unknown.transact(&[Op::Set("x".into(), vec![])]).await),
    ] {
        assert!(said.ends_with("ACL not found"), "{said}");
        assert!(!said.contains("000000000bad"), "{said}");
    }
    assert!(unknown.leader().await.unwrap().is_some());
}

#[tokio::test]
async fn health_shows_only_the_nodes_that_the_token_may_read() {
    let agent = Agent::start_with_acl(json!({})).await;
    let may =
        agent.token("node1", r#"node "node1" { policy = "read" } agent "node1" { policy = "read" }"#).await;
    let consul = agent.client_with_token(&may);
    assert_eq!(consul.serf_health().await.unwrap().len(), 1);
    assert_eq!(consul.own_node().await.unwrap(), "node1");
    let other = agent.token("node10", r#"node_prefix "node10" { policy = "read" }"#).await;
    assert!(agent.client_with_token(&other).serf_health().await.unwrap().is_empty());
}

#[tokio::test]
async fn names_are_filtered_by_key_before_they_are_folded() {
    let agent = Agent::start_with_acl(json!({})).await;
    tree(&agent).await;
    let folders = async |name: &str, rules: &str| {
        let consul = agent.client_with_token(&agent.token(name, rules).await);
        let short = |names: Vec<String>| {
            names.into_iter().map(|name| name.replacen(HOSTS, "", 1)).collect::<Vec<_>>()
        };
        (short(consul.keys(HOSTS, true).await.unwrap()), short(consul.keys(HOSTS, false).await.unwrap()))
    };
    let exact = |key: &str| format!("key \"{HOSTS}{key}\" {{ policy = \"read\" }}");
    let prefix = |key: &str, policy: &str| format!("key_prefix \"{HOSTS}{key}\" {{ policy = \"{policy}\" }}");

    // An exact rule for the folder's name: nothing while no such key exists, and h2/ since it does.
    assert_eq!(folders("exact-absent", &exact("h1/")).await, (vec![], vec![]));
    assert_eq!(folders("exact-there", &exact("h2/")).await, (vec!["h2/".into()], vec!["h2/".into()]));
    // Any key below that may be read shows the folder.
    let one = folders("one-key", &exact("h1/status/failed")).await;
    assert_eq!(one, (vec!["h1/".into()], vec!["h1/status/failed".into()]));
    let some = folders("one-prefix", &prefix("h3/status/", "read")).await;
    assert_eq!(some, (vec!["h3/".into()], vec!["h3/status/failed".into()]));
    // "list" is no right to names only: it is all of read.
    let rules = prefix("", "list");
    let consul = agent.client_with_token(&agent.token("list", &rules).await);
    assert_eq!(consul.keys(HOSTS, true).await.unwrap().len(), 3);
    assert!(consul.get(&format!("{HOSTS}h3/config/bmc/password")).await.unwrap().is_some());
}

#[tokio::test]
async fn with_the_key_list_policy_a_denied_prefix_says_so() {
    let agent = Agent::start_with_acl(json!({ "acl": { "enable_key_list_policy": true } })).await;
    tree(&agent).await;
    let read = agent.token("read", &format!("key_prefix \"{HOSTS}h1/\" {{ policy = \"read\" }}")).await;
    let consul = agent.client_with_token(&read);
    denied(consul.list(HOSTS).await);
    denied(consul.keys(HOSTS, true).await);
    denied(consul.list(&format!("{HOSTS}h1/")).await);
    let list = agent.token("list", &format!("key_prefix \"{HOSTS}h1/\" {{ policy = \"list\" }}")).await;
    assert_eq!(agent.client_with_token(&list).list(&format!("{HOSTS}h1/")).await.unwrap().len(), 1);
}

#[tokio::test]
async fn in_transactions_reads_are_left_out_and_everything_else_is_denied() {
    let agent = Agent::start_with_acl(json!({})).await;
    tree(&agent).await;
    let rules = format!("key_prefix \"{HOSTS}h1/\" {{ policy = \"write\" }}");
    let consul = agent.client_with_token(&agent.token("h1", &rules).await);
    let (mine, other) = (format!("{HOSTS}h1/x"), format!("{HOSTS}h3/status/failed"));
    let nobody = SessionId("00000000-0000-4000-8000-000000000000".into());

    for op in [
        Op::Set(other.clone(), vec![]),
        Op::Cas(other.clone(), vec![], 1),
        Op::Lock(other.clone(), vec![], nobody.clone()),
        Op::Unlock(other.clone(), vec![], nobody.clone()),
        Op::CheckSession(other.clone(), nobody),
        Op::CheckIndex(other.clone(), 1),
        Op::CheckAbsent(other.clone()),
        Op::Delete(other.clone()),
        Op::DeleteCas(other.clone(), 1),
        Op::DeleteTree(format!("{HOSTS}h3/")),
    ] {
        // Also beside operations that are allowed, and then nothing of it happens.
        let said = denied(consul.transact(&[Op::Set(mine.clone(), vec![]), op.clone()]).await);
        assert!(said.contains(op.key()) && said.ends_with("Permission denied"), "{op:?}: {said}");
        assert_eq!(consul.get(&mine).await.unwrap(), None, "{op:?}");
    }

    // A tree is what may be seen of it.
    assert!(committed(&consul, &[Op::GetTree(format!("{HOSTS}h3/"))]).await.is_empty());
    let seen = committed(&consul, &[Op::GetTree(HOSTS.into())]).await;
    assert_eq!(seen, [format!("{HOSTS}h1/status/failed")]);

    // Consul commits without the denied key; we do not take that for an answer.
    let said = denied(consul.transact(&[Op::GetTree(HOSTS.into()), Op::Get(other.clone())]).await);
    assert!(said.contains(&other), "{said}");
    // Beside a write it did happen, and the error says that it may have.
    let error = consul.transact(&[Op::Set(mine.clone(), vec![]), Op::Get(other)]).await.unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }) && error.effect_may_have_happened(), "{error}");
    assert!(consul.get(&mine).await.unwrap().is_some());
}

#[tokio::test]
async fn a_session_takes_permission_to_make_and_renew_but_not_to_be_found_gone() {
    let agent = Agent::start_with_acl(json!({})).await;
    let spec =
        SessionSpec { name: "test".into(), ttl: Duration::from_secs(10), lock_delay: Duration::from_secs(1) };
    let key_only = agent.token("keys", r#"key_prefix "" { policy = "write" }"#).await;
    let key_only = agent.client_with_token(&key_only);
    denied(key_only.create_session(&spec).await);
    let live = agent.client_with_token(MASTER).create_session(&spec).await.unwrap();
    denied(key_only.renew_session(&live).await);
    denied(key_only.destroy_session(&live).await);
    let gone = SessionId("00000000-0000-4000-8000-000000000000".into());
    assert_eq!(key_only.renew_session(&gone).await.unwrap(), Renewal::Gone);
    key_only.destroy_session(&gone).await.unwrap();

    // Whose session it is does not matter for the lock: it takes the key's permission alone.
    let lock = [Op::Lock("lock".into(), vec![], live.clone())];
    assert_eq!(committed(&key_only, &lock).await, ["lock"]);
    // The right to sessions on the agent's own node is enough.
    let own = agent.token("own", r#"session "node1" { policy = "write" }"#).await;
    let own = agent.client_with_token(&own);
    let session = own.create_session(&spec).await.unwrap();
    assert_eq!(own.renew_session(&session).await.unwrap(), Renewal::Renewed);
    own.destroy_session(&session).await.unwrap();
}
