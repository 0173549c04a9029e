//! Peers that do not behave: too large, broken off, silent, leaderless.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::consul_agent::Agent;
use nova_ha::consul::{Address, Consul, Settings, Timeouts};
use nova_ha::store::{Op, Renewal, SessionId, Store, StoreError};
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn quick(address: String) -> Settings {
    let mut settings = Settings::new(Address::Http(address));
    settings.timeouts = Timeouts {
        connect: Duration::from_millis(300),
        attempt: Duration::from_millis(600),
        retries: 2,
        backoff: Duration::from_millis(10),
    };
    settings
}

/// A peer that reads each request and then does as told; the count is that of its connections.
async fn peer<F>(
    answer: impl Fn(TcpStream, String) -> F + Send + Sync + 'static,
) -> (Settings, Arc<AtomicUsize>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = quick(listener.local_addr().unwrap().to_string());
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            let mut request = vec![0; 65536];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            tokio::spawn(answer(stream, request));
        }
    });
    (settings, count)
}

async fn say(stream: &mut TcpStream, text: &str) {
    let _ = stream.write_all(text.as_bytes()).await;
}

fn client(settings: &Settings) -> Consul {
    Consul::new(settings).unwrap()
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nX-Consul-Index: 7\r\nX-Consul-KnownLeader: true\r\n";

#[tokio::test]
async fn an_answer_of_200_mb_is_given_up_at_the_bound() {
    // Announced: nothing of it is read.
    let (mut settings, count) = peer(|mut stream, _| async move {
        say(&mut stream, &format!("{HEAD}Content-Length: 200000000\r\n\r\n")).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
    })
    .await;
    settings.timeouts.attempt = Duration::from_secs(20);
    let began = Instant::now();
    let error = client(&settings).list("ha_cluster/").await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 67_108_864, .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(2) && count.load(Ordering::SeqCst) == 1);

    // Not announced: it stops at the bound of the call.
    let (mut settings, _) = peer(|mut stream, _| async move {
        say(&mut stream, &format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n")).await;
        let chunk = format!("100000\r\n{}\r\n", "[".repeat(0x10_0000));
        for _ in 0..200 {
            if stream.write_all(chunk.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    settings.timeouts.attempt = Duration::from_secs(20);
    let error = client(&settings).get("ha_cluster/meta").await.unwrap_err();
    assert!(matches!(error, StoreError::TooLarge { limit: 8_388_608, .. }), "{error}");
}

#[tokio::test]
async fn half_an_answer_is_no_answer() {
    let (settings, count) = peer(|mut stream, _| async move {
        say(&mut stream, &format!("{HEAD}Content-Length: 500\r\n\r\n[{{\"Key\":\"a\"")).await;
    })
    .await;
    let error = client(&settings).get("a").await.unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }) && error.is_retryable(), "{error}");
    // A read is repeated, within its bound.
    assert_eq!(count.load(Ordering::SeqCst), 3);

    let (settings, _) = peer(|mut stream, _| async move {
        say(&mut stream, &format!("{HEAD}Content-Length: 10\r\n\r\n[{{\"Key\":\"a")).await;
    })
    .await;
    let error = client(&settings).get("a").await.unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_write_is_sent_once_whatever_comes_of_it() {
    let (settings, count) = peer(|_stream, _| async {}).await;
    let error = client(&settings).transact(&[Op::Set("a".into(), vec![])]).await.unwrap_err();
    assert!(error.effect_may_have_happened() && count.load(Ordering::SeqCst) == 1, "{error}");

    let (settings, count) = peer(|stream, _| async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        drop(stream);
    })
    .await;
    let began = Instant::now();
    let error = client(&settings).transact(&[Op::Set("a".into(), vec![])]).await.unwrap_err();
    assert!(matches!(error, StoreError::Deadline { .. }) && error.effect_may_have_happened(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3) && count.load(Ordering::SeqCst) == 1);
}

#[tokio::test]
async fn the_token_is_sent_in_a_header_only_and_shown_nowhere() {
    let (mut settings, _) = peer(|mut stream, request| async move {
        let in_line = request.lines().next().unwrap_or_default().contains("sesame");
        let in_header = request.lines().any(|l| l.eq_ignore_ascii_case("x-consul-token: sesame"));
        let status = if in_header && !in_line { "404 Not Found" } else { "400 Bad Request" };
        say(&mut stream, &format!("HTTP/1.1 {status}\r\nX-Consul-Index: 7\r\nContent-Length: 0\r\n\r\n"))
            .await;
    })
    .await;
    settings.token = Some(SecretString::from("sesame".to_owned()));
    let consul = client(&settings);
    assert_eq!(consul.get("a").await.unwrap(), None);
    assert!(!format!("{consul:?} {settings:?}").contains("sesame"));

    settings.address = Address::Http("127.0.0.1:1".into());
    let error = client(&settings).get("a").await.unwrap_err();
    assert!(!format!("{error:?}").contains("sesame"), "{error:?}");
    assert_eq!(error.to_string(), "cannot reach Consul at http://127.0.0.1:1 to read a");
}

#[tokio::test]
async fn another_server_on_that_port_does_not_end_a_session_or_empty_a_tree() {
    let (settings, _) = peer(|mut stream, _| async move {
        say(&mut stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nnot found").await;
    })
    .await;
    let session = SessionId("00000000-0000-4000-8000-000000000000".into());
    let error = client(&settings).renew_session(&session).await.unwrap_err();
    assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
    let consul = client(&settings);
    for error in [
        consul.get("failed").await.unwrap_err(),
        consul.list("a/").await.unwrap_err(),
        consul.keys("a/", true).await.unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Malformed { .. }), "{error}");
    }
    let error = consul.transact(&[Op::Get("a".into())]).await.unwrap_err();
    assert!(matches!(error, StoreError::Status { status: 404, .. }), "{error}");
}

#[tokio::test]
async fn without_a_leader_nothing_is_absent_and_nothing_empty() {
    // One server of two: it answers HTTP, and can elect nobody. By default it holds each request
    // for 7 s, in the hope of a leader.
    let config = json!({ "bootstrap_expect": 2, "performance": { "rpc_hold_timeout": "100ms" } });
    let agent = Agent::spawn(tempfile::tempdir().unwrap(), config);
    let mut settings = agent.settings();
    settings.timeouts.retries = 0;
    let consul = client(&settings);
    let end = Instant::now() + Duration::from_secs(20);
    let no_leader = |error: StoreError| assert!(matches!(error, StoreError::NoLeader { .. }), "{error:?}");
    while let Err(error) = consul.leader().await {
        assert!(Instant::now() < end, "the agent does not answer: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(consul.leader().await.unwrap(), None);
    no_leader(consul.get("a").await.unwrap_err());
    no_leader(consul.list("a/").await.unwrap_err());
    no_leader(consul.keys("a/", true).await.unwrap_err());
    no_leader(consul.serf_health().await.unwrap_err());
    no_leader(consul.transact(&[Op::Get("a".into())]).await.unwrap_err());
    no_leader(consul.transact(&[Op::Set("a".into(), vec![])]).await.unwrap_err());
    let session = SessionId("00000000-0000-4000-8000-000000000000".into());
    let renewal: Result<Renewal, _> = consul.renew_session(&session).await;
    no_leader(renewal.unwrap_err());
    assert_eq!(consul.own_node().await.unwrap(), "node1");
}
