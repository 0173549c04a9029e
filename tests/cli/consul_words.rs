//! A real Consul that speaks as its newer releases do, and one that is busy for a moment.

use crate::site::{Said, Site};
use crate::support::consul_agent::Agent;
use crate::support::consul_proxy::Proxy;
use nova_ha::consul::{Address, Consul};
use nova_ha::store::{Denial, Op, SessionId, SessionSpec, Store, StoreError, TxnOutcome};
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;

/// What Consul says since 1.12 where 1.8 says *Permission denied* and no more.
const NEWER: &str = "Permission denied: token with AccessorID '8a2d52a0-6b41-7077-8374-09d4fafa2d30' lacks permission \
                     'key:write' on 'ha_cluster/'";

fn newer(_: &str, said: Option<(u16, String)>) -> Option<(u16, String)> {
    said.map(|(status, body)| (status, body.replace("Permission denied", NEWER)))
}

fn through(agent: &Agent, proxy: &Proxy, token: &str) -> Consul {
    let mut settings = agent.settings();
    settings.address = Address::Http(proxy.address.clone());
    settings.token = Some(SecretString::from(token.to_owned()));
    settings.timeouts.backoff = Duration::from_millis(10);
    Consul::new(&settings).unwrap()
}

#[tokio::test]
async fn a_denial_in_newer_words_is_never_a_lost_comparison() {
    let agent = Agent::start_with_acl(json!({})).await;
    let committed = agent.client().transact(&[Op::Set("a/b".into(), vec![])]).await.unwrap();
    let TxnOutcome::Committed(entries) = committed else { panic!() };
    let index = entries[0].modify_index;
    let token = agent.token("read", r#"key_prefix "a/" { policy = "read" }"#).await;
    let proxy = Proxy::before(agent.port, newer).await;
    let nobody = SessionId("00000000-0000-4000-8000-000000000000".into());
    for consul in [agent.client_with_token(&token), through(&agent, &proxy, &token)] {
        for op in [
            Op::Set("a/b".into(), vec![]),
            Op::Cas("a/b".into(), vec![], index),
            // Lost as well: the denial is what is said.
            Op::Cas("a/b".into(), vec![], index + 1),
            Op::Lock("a/b".into(), vec![], nobody.clone()),
            Op::Unlock("a/b".into(), vec![], nobody.clone()),
            Op::Delete("a/b".into()),
            Op::DeleteCas("a/b".into(), index + 1),
            Op::DeleteTree("a/".into()),
            Op::CheckAbsent("b".into()),
            Op::CheckIndex("b".into(), 1),
            Op::CheckSession("b".into(), nobody.clone()),
        ] {
            let said = consul.transact(std::slice::from_ref(&op)).await;
            let is_denied = matches!(&said, Err(StoreError::Denied { why: Denial::Permission, .. }));
            assert!(is_denied, "{op:?}: {said:?}");
        }
        // What it may compare, it loses as before.
        let lost = consul.transact(&[Op::CheckIndex("a/b".into(), index + 1)]).await.unwrap();
        assert!(matches!(lost, TxnOutcome::Refused(_)), "{lost:?}");
        assert!(matches!(consul.get("b").await, Err(StoreError::Denied { .. })));
        let spec = SessionSpec { name: "x".into(), ttl: Duration::from_secs(10), lock_delay: Duration::ZERO };
        assert!(matches!(consul.create_session(&spec).await, Err(StoreError::Denied { .. })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_executable_says_of_a_newer_consul_that_it_denies() {
    let site = Site::with_acl().await;
    site.run(&["init"]).await.ok();
    let password = site.agent.folder.path().join("password");
    std::fs::write(&password, "unused").unwrap();
    let file = password.to_str().unwrap();
    let login =
        ["--ssh-user", "u", "--ssh-password-file", file, "--ssh-address", "127.0.0.1", "--ssh-port", "1"];
    site.run(&[&["host", "add", "c1"][..], &login].concat()).await;
    site.run(&["ha-node", "add", "node1"]).await.ok();
    // It publishes which formats it reads.
    let args = ["--ha-node", "node1"];
    site.program("nova-ha-recover", Some(crate::support::consul_agent::MASTER), &args).await.ok();
    let rules = r#"key_prefix "ha_cluster/" { policy = "read" } node_prefix "" { policy = "read" }
                   agent_prefix "" { policy = "read" } session_prefix "" { policy = "write" }"#;
    let token = site.agent.token("read", rules).await;
    let proxy = Proxy::before(site.agent.port, newer).await;
    let sysfs = tempfile::tempdir().unwrap();
    let dmi = sysfs.path().join("class/dmi/id");
    std::fs::create_dir_all(&dmi).unwrap();
    for block in ["block", "class/block"] {
        std::fs::create_dir_all(sysfs.path().join(block)).unwrap();
    }
    let sysfs = sysfs.path().to_str().unwrap().to_owned();
    let commands: [(&str, &[&str]); 6] = [
        ("nova-ha", &["policy", "set", "evacuation_parallel", "3"]),
        ("nova-ha", &["maintenance", "on", "c1", "--by", "t", "--reason", "x"]),
        ("nova-ha", &["ha-node", "add", "node2"]),
        ("nova-ha-mark-failed", &["c1", "--by", "t", "--yes", "c1", "--although-it-answers"]),
        ("nova-ha-probe", &["c1", "--deadline", "2s"]),
        ("nova-ha-runtime-info", &["--host", "c1", "--sysfs", &sysfs]),
    ];
    let before = site.tree().await;
    for (program, args) in commands {
        let run = async |address: &str| -> Said {
            let own = tempfile::tempdir().unwrap();
            let own = own.path().to_str().unwrap();
            let env = [
                ("CONSUL_HTTP_TOKEN", token.as_str()),
                ("CONSUL_HTTP_ADDR", address),
                ("NOVA_HA_RUN_DIR", own),
                ("NOVA_HA_STATE_DIR", own),
                ("NOVA_HA_NODE", "node1"),
            ];
            site.program_without_token(program, &env, args).await
        };
        let old = run(&format!("127.0.0.1:{}", site.agent.port)).await;
        let new = run(&proxy.address).await;
        for said in [&old, &new] {
            let words = format!("{}{}", said.out, said.err);
            assert!(
                words.contains("Consul denies this token to"),
                "{program} {args:?}: {} {words}",
                said.code
            );
            // A probe's line is Consul's to show, and has no room for a command.
            let hints = words.contains("nova-ha generate acl") || program == "nova-ha-probe";
            assert!(hints, "{program} {args:?}: {words}");
        }
        assert_eq!(old.code, new.code, "{program} {args:?}");
    }
    assert_eq!(site.tree().await, before, "nothing was written");
}

/// A server that is behind does not know a new token yet; one under load takes nothing for a moment. Nothing was done, so
/// that even a write is sent again; it happens once.
#[tokio::test]
async fn what_passes_is_tried_again_and_a_write_happens_once() {
    let agent = Agent::start_with_acl(json!({})).await;
    for (status, words) in [
        (403, "ACL not found"),
        (500, "rpc error making call: ACL not found"),
        (429, ""),
        (429, "Your IP is issuing too many concurrent connections, please rate limit your calls\n"),
        (500, "rpc error making call: rate limit exceeded, try again later"),
        (503, "rate limit exceeded, try again later"),
    ] {
        let mut left = 3;
        let proxy = Proxy::before(agent.port, move |_, said| {
            if said.is_some() || left == 0 {
                return None;
            }
            left -= 1;
            Some((status, words.to_owned()))
        })
        .await;
        let consul = through(&agent, &proxy, crate::support::consul_agent::MASTER);
        let before = agent.client().get("a/n").await.unwrap();
        let write = Op::replace("a/n", words, before.as_ref());
        let done = consul.transact(&[write]).await;
        assert!(matches!(done, Ok(TxnOutcome::Committed(_))), "{status} {words}: {done:?}");
        assert_eq!(proxy.count("PUT /v1/txn"), 4);
    }
    // An end of the connection to the leader says nothing of a write: it is not sent again. A read is.
    for (status, words) in [(500, "rpc error making call: EOF"), (502, "<html>")] {
        let proxy = Proxy::before(agent.port, {
            let mut left = [1, 1];
            move |line, said| {
                let left = &mut left[usize::from(line.starts_with("GET"))];
                if said.is_some() || *left == 0 {
                    return None;
                }
                *left -= 1;
                Some((status, words.to_owned()))
            }
        })
        .await;
        let consul = through(&agent, &proxy, crate::support::consul_agent::MASTER);
        let unclear = consul.transact(&[Op::Set("a/n".into(), vec![])]).await.unwrap_err();
        assert!(unclear.effect_may_have_happened() && unclear.is_retryable(), "{unclear}");
        assert_eq!(proxy.count("PUT /v1/txn"), 1);
        assert!(consul.get("a/n").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_token_that_stays_unknown_is_said_after_the_attempts() {
    let agent = Agent::start_with_acl(json!({})).await;
    let proxy = Proxy::before(agent.port, |_, _| None).await;
    let consul = through(&agent, &proxy, "00000000-0000-4000-8000-000000000bad");
    let said = consul.transact(&[Op::Set("a".into(), vec![])]).await.unwrap_err();
    assert!(matches!(said, StoreError::Denied { why: Denial::UnknownToken, .. }), "{said}");
    assert_eq!(said.to_string(), "Consul does not know this token, could not set a: ACL not found");
    assert!(said.hint().contains("consul acl token read -self"), "{}", said.hint());
    assert_eq!(proxy.count("PUT /v1/txn"), 4);
    // A token that may not is asked once.
    let token = agent.token("none", "").await;
    let consul = through(&agent, &proxy, &token);
    assert!(consul.transact(&[Op::Set("a".into(), vec![])]).await.is_err());
    assert_eq!(proxy.count("PUT /v1/txn"), 5);
}
