//! The client against a real Consul server: keys, transactions, locks, sessions, blocking queries,
//! unix socket and TLS.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use crate::support::consul_agent::{Agent, certificates};
use nova_ha::consul::blocking::{Subject, View};
use nova_ha::consul::{Address, Consul, Settings};
use nova_ha::store::{Entry, Op, Renewal, SerfHealth, SessionId, SessionSpec, Store, StoreError, TxnOutcome};
use serde_json::json;

async fn commit(consul: &Consul, ops: &[Op]) -> Vec<Entry> {
    match consul.transact(ops).await.unwrap() {
        TxnOutcome::Committed(entries) => entries,
        TxnOutcome::Refused(refusals) => panic!("{refusals:?}"),
    }
}

async fn refused(consul: &Consul, ops: &[Op]) -> String {
    match consul.transact(ops).await.unwrap() {
        TxnOutcome::Committed(entries) => panic!("committed: {entries:?}"),
        TxnOutcome::Refused(refusals) => {
            refusals.iter().map(|r| format!("{}: {}", r.key, r.what)).collect::<Vec<_>>().join("; ")
        }
    }
}

fn set(key: &str, value: &str) -> Op {
    Op::Set(key.into(), value.into())
}

async fn session(consul: &Consul, lock_delay: u64) -> SessionId {
    let (ttl, lock_delay) = (Duration::from_secs(10), Duration::from_secs(lock_delay));
    consul.create_session(&SessionSpec { name: "test".into(), ttl, lock_delay }).await.unwrap()
}

#[tokio::test]
async fn awkward_keys_and_values_come_back_as_they_went() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let keys =
        ["a b", "50%", "q?x=1&y", "h#1", "p+q", "é", "back\\slash", "q\"'", "x;y", "a@0", "%2F", "dir/"];
    for key in keys.map(|key| format!("awk/{key}")) {
        assert_eq!(consul.get(&key).await.unwrap(), None, "{key}");
        let value = vec![0, 255, b'\n', b'"'];
        commit(&consul, &[Op::Set(key.clone(), value.clone())]).await;
        let entry = consul.get(&key).await.unwrap().unwrap();
        assert_eq!((entry.key, entry.value, entry.session), (key, value, None));
    }
    assert_eq!(consul.list("awk/").await.unwrap().len(), keys.len());
    commit(&consul, &[set("awk/empty", "")]).await;
    assert_eq!(consul.get("awk/empty").await.unwrap().unwrap().value, b"");
}

#[tokio::test]
async fn node1_does_not_read_node10() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let keys = ["t/node1/a", "t/node1/sub/b", "t/node10/a", "t/node1.example.org/a", "t/", "t/plain"];
    commit(&consul, &keys.map(|key| set(key, "v"))).await;
    let names = |entries: Vec<Entry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    assert_eq!(names(consul.list("t/node1/").await.unwrap()), ["t/node1/a", "t/node1/sub/b"]);
    assert_eq!(
        names(commit(&consul, &[Op::GetTree("t/node1/".into())]).await),
        ["t/node1/a", "t/node1/sub/b"]
    );
    assert!(matches!(consul.list("t/node1").await, Err(StoreError::Request { .. })));
    assert_eq!(consul.keys("t/node1/", false).await.unwrap(), ["t/node1/a", "t/node1/sub/b"]);
    assert_eq!(
        consul.keys("t/", true).await.unwrap(),
        ["t/node1.example.org/", "t/node1/", "t/node10/", "t/plain"]
    );
    assert!(consul.list("absent/").await.unwrap().is_empty());
    assert!(consul.keys("absent/", true).await.unwrap().is_empty());
    assert!(commit(&consul, &[Op::GetTree("absent/".into())]).await.is_empty());
}

#[tokio::test]
async fn a_transaction_happens_whole_or_not_at_all() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let made = commit(&consul, &[Op::Cas("k".into(), b"1".to_vec(), 0), set("other", "1")]).await;
    let index = made[0].modify_index;
    assert_eq!(consul.get("k").await.unwrap().unwrap().modify_index, index);

    // Still absent is not so any more; and the write beside it did not happen.
    let why = refused(&consul, &[set("new", "x"), Op::Cas("k".into(), b"2".to_vec(), 0)]).await;
    assert!(why.starts_with("k: "), "{why}");
    assert_eq!(consul.get("new").await.unwrap(), None);

    // Every operation that refuses is named.
    let ops = [
        Op::Get("no".into()),
        Op::CheckIndex("k".into(), index + 1),
        Op::CheckAbsent("k".into()),
        set("new", "x"),
    ];
    let why = refused(&consul, &ops).await;
    assert!(why.contains("no: ") && why.contains("; k: "), "{why}");
    assert_eq!(consul.get("new").await.unwrap(), None);

    let ops = [
        Op::CheckIndex("k".into(), index),
        Op::Get("k".into()),
        Op::CheckAbsent("new".into()),
        Op::Cas("k".into(), b"2".to_vec(), index),
        Op::DeleteCas("other".into(), made[1].modify_index),
        set("d/1", ""),
        Op::DeleteTree("d/".into()),
    ];
    let seen = commit(&consul, &ops).await;
    let seen = seen.iter().map(|e| (e.key.as_str(), e.value.as_slice())).collect::<Vec<_>>();
    assert_eq!(seen, [("k", &b"1"[..]), ("k", b""), ("d/1", b"")]);
    assert_eq!(consul.get("k").await.unwrap().unwrap().value, b"2");
    assert_eq!(consul.get("other").await.unwrap(), None);
    commit(&consul, &[Op::Delete("k".into())]).await;
    assert_eq!(consul.get("k").await.unwrap(), None);

    // The largest value and the most operations that we let through are taken by Consul too.
    commit(&consul, &[Op::Set("big".into(), vec![7; 390_000])]).await;
    let most = (0..64).map(|i| set(&format!("m/{i}"), "v")).collect::<Vec<_>>();
    assert_eq!(commit(&consul, &most).await.len(), 64);
}

#[tokio::test]
async fn a_lock_is_taken_beside_a_compare_and_set_and_ends_with_its_session() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let (one, two) = (session(&consul, 60).await, session(&consul, 60).await);
    let claim = |who: &SessionId| {
        [Op::Cas("failed".into(), b"True".to_vec(), 0), Op::Lock("lock".into(), b"x".to_vec(), who.clone())]
    };
    commit(&consul, &claim(&one)).await;
    let why = refused(&consul, &claim(&two)).await;
    assert!(why.contains("failed: ") && why.contains("lock: "), "{why}");
    assert_eq!(consul.get("lock").await.unwrap().unwrap().session, Some(one.clone()));

    let holds = |who: &SessionId| [Op::CheckSession("lock".into(), who.clone()), set("journal", "entry")];
    let seen = commit(&consul, &holds(&one)).await;
    assert_eq!(seen.len(), 1, "the check's own answer would read as an empty value: {seen:?}");
    refused(&consul, &holds(&two)).await;

    assert_eq!(consul.renew_session(&one).await.unwrap(), Renewal::Renewed);
    consul.destroy_session(&one).await.unwrap();
    assert_eq!(consul.renew_session(&one).await.unwrap(), Renewal::Gone);
    consul.destroy_session(&one).await.unwrap();
    refused(&consul, &holds(&one)).await;
    // Released with its value kept, and closed to everybody for the lock-delay.
    let lock = consul.get("lock").await.unwrap().unwrap();
    assert_eq!((lock.session, lock.value), (None, b"x".to_vec()));
    let why = refused(&consul, &[Op::Lock("lock".into(), b"y".to_vec(), two.clone())]).await;
    assert!(why.contains("lock delay"), "{why}");
    let gone = refused(&consul, &[Op::Lock("lock2".into(), b"y".to_vec(), one)]).await;
    assert!(gone.contains("invalid session"), "{gone}");
}

/// What adoption by the same HA node rests on.
#[tokio::test]
async fn a_lock_passes_from_the_old_session_to_the_new_one_without_a_delay() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let (old, new) = (session(&consul, 60).await, session(&consul, 60).await);
    commit(&consul, &[Op::Lock("lock".into(), b"old".to_vec(), old.clone())]).await;
    // Who is not the holder cannot hand it over.
    let theft = [
        Op::Unlock("lock".into(), b"-".to_vec(), new.clone()),
        Op::Lock("lock".into(), b"-".to_vec(), new.clone()),
    ];
    refused(&consul, &theft).await;
    let handover = [
        Op::Unlock("lock".into(), b"old".to_vec(), old.clone()),
        Op::Lock("lock".into(), b"new".to_vec(), new.clone()),
        Op::CheckSession("lock".into(), new.clone()),
    ];
    commit(&consul, &handover).await;
    // The old session's end takes nothing with it.
    consul.destroy_session(&old).await.unwrap();
    commit(&consul, &[Op::CheckSession("lock".into(), new.clone())]).await;
    let lock = consul.get("lock").await.unwrap().unwrap();
    assert_eq!((lock.session, lock.value), (Some(new), b"new".to_vec()));
}

#[tokio::test]
async fn health_names_and_leader_are_read() {
    let agent = Agent::start(json!({ "checks": [
        { "id": "script", "name": "never ran", "ttl": "1h" } ] }))
    .await;
    let consul = agent.client();
    let serf = consul.serf_health().await.unwrap();
    assert_eq!(serf.len(), 1);
    assert_eq!((serf[0].node.as_str(), serf[0].serf), ("node1", SerfHealth::Passing));
    assert_eq!(consul.own_node().await.unwrap(), "node1");
    assert!(consul.leader().await.unwrap().unwrap().starts_with("127.0.0.1:"));

    use nova_ha::consul::health::CheckStatus;
    let end = Instant::now() + Duration::from_secs(10);
    let critical = loop {
        let critical = consul.checks_in_state(Some(CheckStatus::Critical)).await.unwrap();
        if !critical.is_empty() || Instant::now() > end {
            break critical;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(critical.iter().map(|c| c.id.as_str()).collect::<Vec<_>>(), ["script"]);
    assert_eq!(consul.node_checks("node1").await.unwrap().len(), 2);
    assert!(consul.node_checks("nobody").await.unwrap().is_empty());
    assert!(consul.service_checks("nothing").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_follower_sees_the_change_and_only_waits_as_long_as_asked() {
    let agent = Agent::start(json!({})).await;
    let consul = agent.client();
    let mut follow = consul.follow(Subject::Prefix("f/".into()));
    assert_eq!(follow.next(Duration::from_secs(30)).await.unwrap(), Some(View::Entries(vec![])));

    let writer = consul.clone();
    let write = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        commit(&writer, &[set("f/a", "1")]).await;
    });
    let end = Instant::now() + Duration::from_secs(30);
    // Consul may wake for a change elsewhere.
    let seen = loop {
        match follow.next(Duration::from_secs(20)).await.unwrap() {
            Some(View::Entries(entries)) if !entries.is_empty() => break entries,
            other => assert!(Instant::now() < end, "{other:?}"),
        }
    };
    assert_eq!(seen[0].key, "f/a");
    write.await.unwrap();

    let began = Instant::now();
    assert_eq!(follow.next(Duration::from_millis(500)).await.unwrap(), None);
    assert!((Duration::from_millis(450)..Duration::from_secs(4)).contains(&began.elapsed()));

    let mut node = consul.follow(Subject::Node("node1".into()));
    assert!(
        matches!(node.next(Duration::from_secs(1)).await.unwrap(), Some(View::Checks(c)) if c.len() == 1)
    );
    let mut key = consul.follow(Subject::Key("f/a".into()));
    assert!(matches!(key.next(Duration::from_secs(1)).await.unwrap(), Some(View::Entries(e)) if e == seen));
}

fn from(pairs: &[(&str, &str)]) -> Consul {
    let find = |name: &str| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v));
    Consul::new(&Settings::from_lookup(find).unwrap()).unwrap()
}

#[tokio::test]
async fn a_unix_socket_and_another_datacenter_work_as_addresses() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("consul.sock");
    let both = format!("127.0.0.1 unix://{}", socket.display());
    let agent = Agent::start(json!({ "addresses": { "http": both } })).await;
    let address = format!("unix://{}", socket.display());
    let consul = from(&[("CONSUL_HTTP_ADDR", &address), ("CONSUL_DATACENTER", "dc1")]);
    commit(&consul, &[set("via", "socket")]).await;
    assert_eq!(agent.client().get("via").await.unwrap().unwrap().value, b"socket");

    let elsewhere = from(&[("CONSUL_HTTP_ADDR", &address), ("CONSUL_DATACENTER", "dc9")]);
    let error = elsewhere.get("via").await.unwrap_err();
    assert!(matches!(&error, StoreError::Status { status: 500, .. }), "{error}");

    let gone = Consul::new(&Settings::new(Address::Unix(folder.path().join("absent.sock")))).unwrap();
    let error = gone.get("via").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn https_takes_our_ca_our_certificate_and_the_server_name() {
    let folder = tempfile::tempdir().unwrap();
    certificates(folder.path());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let https = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let _agent = Agent::start(json!({
        "ports": { "https": https }, "verify_incoming_https": true,
        "ca_file": file("ca.pem"), "cert_file": file("server.pem"), "key_file": file("server.key"),
    }))
    .await;
    let (address, ca) = (format!("127.0.0.1:{https}"), file("ca.pem"));
    let (cert, key) = (file("client.pem"), file("client.key"));
    let base = [
        ("CONSUL_HTTP_ADDR", address.as_str()),
        ("CONSUL_HTTP_SSL", "true"),
        ("CONSUL_CLIENT_CERT", cert.as_str()),
        ("CONSUL_CLIENT_KEY", key.as_str()),
    ];
    let trust = [("CONSUL_CACERT", ca.as_str()), ("CONSUL_TLS_SERVER_NAME", "server.dc1.consul")];
    let with = |more: &[(&'static str, &str)]| {
        let all = base.iter().chain(more).map(|(n, v)| (*n, *v)).collect::<Vec<_>>();
        from(&all)
    };
    let unreachable = |answer: Result<Option<Entry>, StoreError>| {
        let error = answer.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error}");
    };
    commit(&with(&trust), &[set("via", "tls")]).await;
    commit(&with(&[("CONSUL_HTTP_SSL_VERIFY", "false")]), &[set("via", "anything")]).await;
    std::fs::create_dir(folder.path().join("trusted")).unwrap();
    std::fs::copy(folder.path().join("ca.pem"), folder.path().join("trusted/one.pem")).unwrap();
    commit(&with(&[("CONSUL_CAPATH", &file("trusted")), trust[1]]), &[set("via", "folder")]).await;
    // The address is not in the certificate, and another name neither.
    unreachable(with(&trust[..1]).get("via").await);
    unreachable(with(&[trust[0], ("CONSUL_TLS_SERVER_NAME", "other.dc1.consul")]).get("via").await);
    // Another CA; and no certificate of ours.
    unreachable(with(&[("CONSUL_CACERT", cert.as_str()), trust[1]]).get("via").await);
    unreachable(from(&[base[0], base[1], trust[0], trust[1]]).get("via").await);
}
