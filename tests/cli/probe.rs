//! `nova-ha-probe` as Consul runs it: against a real Consul and a real sshd.

use std::time::{Duration, Instant};

use crate::support::consul_agent::Agent;
use crate::support::sshd::{Sshd, closed_port};
use assert_cmd::Command;
use nova_ha::keys::{self, MachineKeys};
use nova_ha::ssh::PinnedKey;
use nova_ha::store::{Op, Store, TxnOutcome};
use nova_ha::tree::meta::Meta;
use nova_ha::tree::observer::ObserverRecord;
use nova_ha::tree::record;
use serde_json::json;

const BIN: &str = env!("CARGO_BIN_EXE_nova-ha-probe");

struct World {
    agent: Agent,
    run: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let world = Self { agent: Agent::start(json!({})).await, run: tempfile::tempdir().unwrap() };
        let meta = Meta { version: 1, generation: "g".into(), created_at: jiff::Timestamp::UNIX_EPOCH };
        world.set(keys::META, record::bytes(&meta)).await;
        for node in ["ha1", "ha2", "ha3"] {
            let keys = keys::ha_node(&node.parse().unwrap());
            world.set(&keys.general(), "").await;
            // One agent stands for all of them.
            world.set(&keys.names(), r#"{"version":1,"consul_node":"node1"}"#).await;
        }
        world
    }

    async fn set(&self, key: &str, value: impl Into<Vec<u8>>) {
        let done = self.agent.client().transact(&[Op::Set(key.to_owned(), value.into())]).await.unwrap();
        assert!(matches!(done, TxnOutcome::Committed(_)));
    }

    async fn text(&self, key: &str) -> Option<String> {
        let entry = self.agent.client().get(key).await.unwrap()?;
        Some(String::from_utf8(entry.value).unwrap())
    }

    async fn add(&self, keys: &MachineKeys, user: &str, private_key: &str, port: u16, host_key: &str) {
        self.set(&keys.general(), "").await;
        for (field, value) in [
            ("user", user),
            ("private_key", private_key),
            ("port", &port.to_string()),
            ("host_key", host_key),
            ("address", "127.0.0.1"),
        ] {
            self.set(&keys.ssh_field(field), value).await;
        }
    }

    async fn add_host(&self, name: &str, sshd: &Sshd) -> MachineKeys {
        let keys = keys::host(&name.parse().unwrap());
        self.add(&keys, &sshd.user, &sshd.private_key, sshd.port, &sshd.host_key).await;
        keys
    }

    fn probe(&self, observer: &str, args: &[&str]) -> (i32, String) {
        let address = format!("127.0.0.1:{}", self.agent.port);
        let args = [&["--ha-node", observer, "--deadline", "4s"], args].concat();
        let (run_dir, local) = (self.run.path().to_str().unwrap(), self.local().display().to_string());
        let state = self.state().display().to_string();
        let env = [
            ("CONSUL_HTTP_ADDR", address.as_str()),
            ("NOVA_HA_RUN_DIR", run_dir),
            ("NOVA_HA_STATE_DIR", &state),
            ("NOVA_HA_LOCAL_FILE", &local),
        ];
        run(&env, &args)
    }

    /// What outlasts boots.
    fn state(&self) -> std::path::PathBuf {
        self.run.path().join("state")
    }

    /// What root lets the tree have read here; it is not there unless a test writes it.
    fn local(&self) -> std::path::PathBuf {
        self.run.path().join("local.toml")
    }

    async fn record(&self, keys: &MachineKeys, observer: &str) -> Option<ObserverRecord> {
        let key = keys.observer(&observer.parse().unwrap());
        self.text(&key).await.map(|text| record::parse(&key, text.as_bytes()).unwrap())
    }
}

/// Exit code and stdout, which must be one line.
fn run(env: &[(&str, &str)], args: &[&str]) -> (i32, String) {
    let mut command = Command::new(BIN);
    command.env_clear().env("NOVA_HA_LOG", "debug").args(args).timeout(Duration::from_secs(20));
    for (name, value) in env {
        command.env(name, value);
    }
    let output = command.output().unwrap();
    let line = String::from_utf8(output.stdout).unwrap();
    assert_eq!(line.lines().count(), 1, "{line:?} {}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), line.trim_end().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_host_passes_and_nothing_is_written() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    assert_eq!(world.probe("ha1", &["compute1"]), (0, "OK compute1: management healthy".to_owned()));
    assert!(world.agent.client().list(&keys.internal()).await.unwrap().is_empty());
    let seen = std::fs::read_to_string(world.run.path().join("seen/compute1")).unwrap();
    assert!(seen.starts_with("0 "), "{seen}");
    let port = sshd.port.to_string();
    let (exit, line) = world.probe("ha1", &["compute1", "--tcp", &port, "--command", "true", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((exit, &json["exit"], &json["written"]), (0, &json!(0), &json!(false)));
    assert_eq!(json["planes"]["management"]["answer"], "healthy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_is_counted_to_critical_and_reset_when_it_is_back() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    assert_eq!(world.probe("ha1", &["compute1"]).0, 0);
    let dead = closed_port();
    world.set(&keys.ssh_field("port"), dead.to_string()).await;
    let why = format!("(127.0.0.1:{dead} connection refused)");
    // The text of an unchanged state is the same at each run: a change of it wakes the watches on checks.
    let failing = (1, format!("WARNING compute1: management failed, not yet 3 times in a row {why}"));
    let critical = (2, format!("CRITICAL compute1: management failed 3 times in a row or more {why}"));
    for expected in [&failing, &failing, &critical] {
        assert_eq!(world.probe("ha1", &["compute1"]), *expected);
    }
    let record = world.record(&keys, "ha1").await.unwrap();
    assert_eq!((record.fails, record.sequence, record.indices.len()), (3, 3, 2));
    assert!(record.life.seen_healthy && record.indices.is_sorted());
    assert_eq!(world.text(&keys.number_fails()).await, None, "one of three is no quorum");
    world.probe("ha2", &["compute1"]);
    world.probe("ha2", &["compute1"]);
    assert_eq!(world.text(&keys.number_fails()).await.as_deref(), Some("2"), "two of three agree on 2");
    world.set(&keys.ssh_field("port"), sshd.port.to_string()).await;
    assert_eq!(world.probe("ha1", &["compute1"]).0, 0);
    let record = world.record(&keys, "ha1").await.unwrap();
    assert_eq!((record.fails, record.sequence), (0, 4));
    assert_eq!(world.text(&keys.number_fails()).await.as_deref(), Some("0"));
    world.probe("ha1", &["compute1"]);
    assert_eq!(world.record(&keys, "ha1").await.unwrap(), record, "one reset write");
    world.set(&keys.epoch(), "1").await;
    world.set(&keys.ssh_field("port"), dead.to_string()).await;
    assert_eq!(world.probe("ha2", &["compute1"]).0, 1, "two old fails and one new are one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_host_that_published_garbage_is_counted() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    // No key of it is bound: what it published would be its keys.
    world.set(&keys.ssh_field("host_key"), "").await;
    world.set(&keys.ssh_field("port"), closed_port().to_string()).await;
    for (number, garbage) in
        ["{", "[]", r#"{"version":99}"#, r#"{"ssh_host_keys":["k",""]}"#, r#"{"ssh_host_keys":7}"#]
            .into_iter()
            .enumerate()
    {
        world.set(&keys.runtime_config(), garbage).await;
        let (_, line) = world.probe("ha1", &["compute1"]);
        assert!(line.contains("connection refused"), "{garbage}: {line}");
        assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, number as u64 + 1, "{garbage}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_state_prints_the_same_at_each_run() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    // Without a log of its own: all that it prints is the output of the check.
    let check = || {
        let output = Command::new(BIN)
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", world.agent.port))
            .env("NOVA_HA_RUN_DIR", world.run.path())
            .env("NOVA_HA_STATE_DIR", world.state())
            .args(["compute1", "--ha-node", "ha1", "--deadline", "4s"])
            .output()
            .unwrap();
        [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap())
    };
    let healthy = check();
    assert_eq!(healthy, ["OK compute1: management healthy\n", ""]);
    assert_eq!(check(), healthy);
    world.set(&keys.ssh_field("port"), closed_port().to_string()).await;
    let seen = [(); 5].map(|()| check());
    assert!(seen.iter().all(|[_, log]| log.is_empty()), "{seen:?}");
    assert!(seen[0] == seen[1] && seen[0] != seen[2] && seen[2] == seen[3] && seen[3] == seen[4], "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_ha_node_is_probed_under_its_own_keys() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = keys::ha_node(&"ha2".parse().unwrap());
    world.add(&keys, &sshd.user, &sshd.private_key, closed_port(), &sshd.host_key).await;
    assert_eq!(world.probe("ha1", &["ha2", "--peer"]).0, 1);
    assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, 1);
    assert_eq!(world.probe("ha2", &["ha2", "--peer"]).0, 1, "not by itself");
    // Its host key is bound: it is asked for that, with no account and no secret.
    world.set(&keys.ssh_field("port"), sshd.port.to_string()).await;
    for secret in ["user", "private_key"] {
        world.set(&keys.ssh_field(secret), "").await;
    }
    assert_eq!(world.probe("ha1", &["ha2", "--peer"]), (0, "OK ha2: management healthy".to_owned()));
    assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, 0);
    world.set(&keys.ssh_field("host_key"), Sshd::start("ed25519").host_key.as_str()).await;
    let (code, line) = world.probe("ha1", &["ha2", "--peer"]);
    assert!(code == 1 && line.contains("host key is not the pinned one"), "{line}");
    assert!(line.contains("nova-ha ha-node add ha2 --replace --ssh-host-key-file"), "{line}");
    assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, 0, "another key is nobody's silence");
    assert_eq!(world.record(&keys, "ha2").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_that_lets_an_ha_node_in_first_is_the_only_one_until_a_person_binds_another() {
    let (world, sshd, other) = (World::new().await, Sshd::start("ed25519"), Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    world.set(&keys.ssh_field("host_key"), "").await;
    world.set(&keys.ssh_field("private_key"), "").await;
    world.set(&keys.ssh_field("password"), "not-the-password").await;
    // Who refuses the login is not pinned.
    assert_eq!(world.probe("ha1", &["compute1"]).0, 1);
    assert!(!world.state().exists());
    world.set(&keys.ssh_field("private_key"), sshd.private_key.as_str()).await;
    assert_eq!(world.probe("ha1", &["compute1"]), (0, "OK compute1: management healthy".to_owned()));
    assert_eq!(world.record(&keys, "ha1").await, None, "older HA nodes could not read it");
    std::fs::write(world.run.path().join("observer-version"), "3\n").unwrap();
    assert_eq!(world.probe("ha1", &["compute1"]).0, 0);
    let record = world.record(&keys, "ha1").await.unwrap();
    assert_eq!((record.fails, record.first_seen_key.as_deref()), (0, Some(sshd.host_key.as_str())));
    assert_eq!(world.probe("ha1", &["compute1"]).0, 0);
    assert_eq!(world.record(&keys, "ha1").await.as_ref(), Some(&record), "said once");

    // Another one answers at its address: no vote, no silence, no credential.
    let fingerprint = |sshd: &Sshd| format!("{:#}", PinnedKey::parse(&sshd.host_key).unwrap().fingerprint());
    world.set(&keys.ssh_field("port"), other.port.to_string()).await;
    world.set(&keys.ssh_field("private_key"), other.private_key.as_str()).await;
    for _ in 0..4 {
        let (exit, line) = world.probe("ha1", &["compute1"]);
        assert_eq!(exit, 1, "{line}");
        for said in [fingerprint(&sshd), fingerprint(&other)] {
            assert!(line.contains(&said), "{said}: {line}");
        }
        assert!(line.contains("cannot tell (127.0.0.1:") && line.contains("as first seen here"), "{line}");
    }
    assert!(!other.log().contains("userauth-request"), "{}", other.log());
    assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, 0);

    // What it publishes does not take its place, and a silent host is counted all the same.
    let published = json!({"version": 1, "ssh_host_keys": [other.host_key]}).to_string();
    world.set(&keys.runtime_config(), published).await;
    let (exit, line) = world.probe("ha1", &["compute1"]);
    assert!(exit == 1 && line.contains("publishes SSH host key") && line.contains("cannot tell"), "{line}");
    assert!(!other.log().contains("userauth-request"), "{}", other.log());
    world.set(&keys.ssh_field("port"), closed_port().to_string()).await;
    let (_, line) = world.probe("ha1", &["compute1"]);
    assert!(line.contains("connection refused"), "{line}");
    assert_eq!(world.record(&keys, "ha1").await.unwrap().fails, 1);

    // A person's word does, at once and for good.
    world.set(&keys.ssh_field("host_key"), other.host_key.as_str()).await;
    world.set(&keys.ssh_field("port"), other.port.to_string()).await;
    assert_eq!(world.probe("ha1", &["compute1"]), (0, "OK compute1: management healthy".to_owned()));
    assert_eq!(world.record(&keys, "ha1").await.unwrap().first_seen_key, None);
    assert!(!world.state().join("first-seen/compute1").exists(), "the old pin counts never again");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_key_can_be_kept_the_probe_works_as_before_and_says_so() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    world.set(&keys.ssh_field("host_key"), "").await;
    std::fs::write(world.state(), "no folder").unwrap();
    let (exit, line) = world.probe("ha1", &["compute1"]);
    assert_eq!(exit, 0, "{line}");
    let said = "OK compute1: management healthy; its SSH host key is not pinned: ";
    assert!(
        line.starts_with(said) && line.ends_with(&format!("rm -r {}", world.state().display())),
        "{line}"
    );
    let other = Sshd::start("ed25519");
    world.set(&keys.ssh_field("port"), other.port.to_string()).await;
    world.set(&keys.ssh_field("private_key"), other.private_key.as_str()).await;
    assert_eq!(world.probe("ha1", &["compute1"]).0, 0, "any key, as before");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_is_not_the_observer_writes_no_vote_of_it() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    world.set(&keys.ssh_field("port"), closed_port().to_string()).await;
    let names = keys::ha_node(&"ha1".parse().unwrap()).names();
    world.set(&names, r#"{"version":1,"consul_node":"node9"}"#).await;
    for _ in 0..4 {
        let (exit, line) = world.probe("ha1", &["compute1"]);
        assert_eq!(exit, 1, "{line}");
        assert!(line.contains("two machines call themselves ha1") && line.contains("NOVA_HA_NODE"), "{line}");
    }
    assert_eq!(world.record(&keys, "ha1").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_faults_are_warnings_and_write_nothing() {
    let (world, sshd) = (World::new().await, Sshd::start("ed25519"));
    let keys = world.add_host("compute1", &sshd).await;
    let expect = |wanted: &str, (exit, line): (i32, String)| {
        assert_eq!(exit, 1, "{line}");
        assert!(line.starts_with("WARNING ") && line.contains(wanted), "{wanted:?}: {line}");
        assert!(line.chars().count() <= 240, "{line}");
    };
    expect("nova-ha host add ghost", world.probe("ha1", &["ghost"]));
    assert!(world.agent.client().list("ha_cluster/compute_nodes/ghost/").await.unwrap().is_empty());
    expect("node1 is not configured", world.probe("ha1", &["node1"]));
    let other = Sshd::start("ed25519");
    for (field, value, wanted) in [
        ("port", "x", "consul kv get ha_cluster/compute_nodes/compute1/config/ssh/port"),
        ("host_key", other.host_key.as_str(), "host key is not the pinned one"),
        ("host_key", "nonsense", "is no OpenSSH public key"),
        ("user", "", "config/ssh/user is missing; nova-ha host add compute1 --replace --ssh-user"),
        ("private_key", "", "config/ssh/; nova-ha host add compute1 --replace --ssh-private-key-file"),
        ("private_key", "file:/nonexistent/secret", "cannot read the secret"),
        ("private_key", "nonsense", "the private key cannot be used"),
        ("private_key", other.private_key.as_str(), "rejected"),
        ("address", "no-such-name.invalid", "cannot look up"),
    ] {
        let key = keys.ssh_field(field);
        let kept = world.text(&key).await.unwrap();
        world.set(&key, value).await;
        expect(wanted, world.probe("ha1", &["compute1"]));
        world.set(&key, kept).await;
    }
    // What root does not let it read is ours too, with the command.
    for (text, wanted) in [
        ("", "does not allow it: nova-ha local adopt"),
        ("what is this", "cannot be used: nova-ha local show"),
    ] {
        std::fs::write(world.local(), text).unwrap();
        for reference in ["file:/nonexistent/secret", "env:PATH"] {
            let kept = world.text(&keys.ssh_field("private_key")).await.unwrap();
            world.set(&keys.ssh_field("private_key"), reference).await;
            expect(wanted, world.probe("ha1", &["compute1"]));
            world.set(&keys.ssh_field("private_key"), kept).await;
        }
        assert_eq!(world.probe("ha1", &["compute1"]).0, 0, "a plain secret needs nobody's leave");
    }
    std::fs::remove_file(world.local()).unwrap();
    assert!(world.agent.client().list(&keys.internal()).await.unwrap().is_empty(), "nothing was written");
    let own = keys.observer(&"ha1".parse().unwrap());
    world.set(&own, r#"{"version":99}"#).await;
    expect("version 99", world.probe("ha1", &["compute1"]));
    assert_eq!(world.text(&own).await.as_deref(), Some(r#"{"version":99}"#));
    world.set(&own, "{").await;
    expect("cannot be understood", world.probe("ha1", &["compute1"]));
    world.agent.client().transact(&[Op::Delete(keys::META.into())]).await.unwrap();
    expect("nova-ha init", world.probe("ha1", &["compute1"]));
}

#[test]
fn bad_arguments_and_an_absent_consul_are_warnings() {
    let absent = format!("127.0.0.1:{}", closed_port());
    let good = ["c", "--ha-node", "h"];
    for (args, wanted) in [
        (&[][..], "<HOST>"),
        (&["a/b", "--ha-node", "h"], "is no host name"),
        (&["c", "--ha-node", "h/h"], "--ha-node"),
        (&["c", "--threshold", "0"], "--threshold"),
        (&["c", "--interval", "soon"], "--interval"),
        (&["c", "--ha-node", "h", "--deadline", "10s"], "--deadline must be below"),
        (&["c", "--tcp", "x"], "--tcp"),
        (&["c", "--plane", "a b"], "--plane"),
        (&["c", "--no-such-option"], "--no-such-option"),
        (&["h", "--peer", "--ha-node", "h"], "probed by the others"),
        (&good, "cannot reach Consul"),
    ] {
        let (exit, line) = run(&[("CONSUL_HTTP_ADDR", &absent)], args);
        assert_eq!(exit, 1, "{args:?}: {line}");
        assert!(line.starts_with("WARNING ") && line.contains(wanted), "{args:?}: {line}");
    }
    assert_eq!(run(&[("CONSUL_HTTP_ADDR", "ftp://x")], &good).0, 1);
    Command::new(BIN).arg("--help").assert().code(0);
}

#[test]
fn a_consul_that_hangs_ends_at_the_deadline() {
    let port = crate::support::sshd::server(|stream| {
        std::thread::spawn(move || (std::thread::sleep(Duration::from_secs(30)), drop(stream)));
    });
    let began = Instant::now();
    let address = format!("127.0.0.1:{port}");
    let (exit, line) = run(&[("CONSUL_HTTP_ADDR", &address)], &["c", "--ha-node", "h", "--deadline", "2s"]);
    assert_eq!(exit, 1, "{line}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn an_answer_of_200_megabytes_is_refused_before_it_is_read() {
    use std::io::{Read, Write};
    let port = crate::support::sshd::server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[");
        for _ in 0..200 {
            sent = sent.and_then(|()| stream.write_all(&[b' '; 1024 * 1024]));
        }
    });
    let address = format!("127.0.0.1:{port}");
    let (exit, line) = run(&[("CONSUL_HTTP_ADDR", &address)], &["c", "--ha-node", "h"]);
    assert_eq!(exit, 1, "{line}");
    assert!(line.ends_with("see that CONSUL_HTTP_ADDR is a Consul agent: consul members"), "{line}");
}

#[test]
fn a_lost_leader_leaves_a_mark() {
    use std::io::{Read, Write};
    // Consul 1.8's own answer without a leader.
    let port = crate::support::sshd::server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let body = "No cluster leader";
        let _ = write!(
            stream,
            "HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
    });
    let folder = tempfile::tempdir().unwrap();
    let env = [
        ("CONSUL_HTTP_ADDR", &*format!("127.0.0.1:{port}")),
        ("NOVA_HA_RUN_DIR", folder.path().to_str().unwrap()),
    ];
    let (exit, line) = run(&env, &["c", "--ha-node", "h"]);
    assert_eq!(exit, 1, "{line}");
    assert!(line.contains("no leader"), "{line}");
    assert!(folder.path().join("leader-lost").is_file());
}
