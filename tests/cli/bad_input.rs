//! Bad input to `nova-ha-mark-failed` and `nova-ha-recover`, on a real Consul: an error that names
//! the thing and the next command, a non-zero exit, and nothing changed in the tree.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::open_incident::open;
use crate::site::{Said, Site};
use nova_ha::incident::IncidentRecord;
use nova_ha::incident::journal::{Event, JournalEntry};
use nova_ha::keys;
use nova_ha::names::IncidentId;
use nova_ha::store::{Op, Store};
use nova_ha::tree::record::{Record, bytes, parse};

const MARK: &str = env!("CARGO_BIN_EXE_nova-ha-mark-failed");
const RECOVER: &str = env!("CARGO_BIN_EXE_nova-ha-recover");
const BOTH: [&str; 2] = [MARK, RECOVER];

/// A cloud that is named well enough, where nobody answers (port 1 of loopback).
const NO_CLOUD: [(&str, &str); 6] = [
    ("OS_AUTH_URL", "http://127.0.0.1:1/v3"),
    ("OS_USERNAME", "nova-ha"),
    ("OS_PASSWORD", "Swordfish7"),
    ("OS_PROJECT_NAME", "service"),
    ("OS_USER_DOMAIN_NAME", "Default"),
    ("OS_PROJECT_DOMAIN_NAME", "Default"),
];

/// A site with one HA node and two hosts, and a run folder for its executables.
struct World {
    site: Site,
    run: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let world = Self::empty(Site::start().await);
        world.site.run(&["init"]).await.ok();
        world
            .site
            .run(&["ha-node", "add", "ha1", "--storage", "shared", "--consul-node", "node1"])
            .await
            .ok();
        for host in ["n1", "n2"] {
            world.site.run(&["host", "add", host, "--bmc-ip", "127.0.0.1", "--bmc-user", "admin"]).await.ok();
        }
        world
    }

    fn empty(site: Site) -> Self {
        Self { site, run: tempfile::tempdir().unwrap() }
    }

    async fn say(&self, program: &str, args: &[&str], stdin: &str) -> Said {
        let address = format!("127.0.0.1:{}", self.site.agent.port);
        say(self.run.path(), &address, None, program, args, stdin).await
    }

    /// Runs it, and sees that nothing at all changed.
    async fn unchanged(&self, program: &str, args: &[&str], stdin: &str) -> Said {
        let before = self.tree().await;
        let said = self.say(program, args, stdin).await;
        let after = self.tree().await;
        let changed: Vec<&str> =
            after.iter().filter(|entry| !before.contains(entry)).map(|(key, ..)| key.as_str()).collect();
        assert!(before == after, "changed: {changed:?}\n{}{}", said.out, said.err);
        said
    }

    /// All but what an HA node says of itself: which formats it reads, in its first run.
    async fn tree(&self) -> Vec<(String, Vec<u8>, u64)> {
        let mut tree = self.site.tree().await;
        tree.retain(|(key, ..)| !key.ends_with("/internal/formats"));
        tree
    }

    /// An incident as it is once this HA node claimed it.
    async fn claimed(&self, id: &str) -> IncidentId {
        let id = open(&self.site, id).await;
        let keys = keys::incident(&id);
        let entry = self.site.agent.client().get(&keys.incident()).await.unwrap().unwrap();
        let mut record: IncidentRecord = parse(&entry.key, &entry.value).unwrap();
        let what = Event::Claimed { plan_hash: "00".into() };
        record.head = 1;
        record.holder = Some("ha1".parse().unwrap());
        record.status = record.status.after(&what).unwrap();
        let (version, at) = (JournalEntry::VERSION, record.opened_at);
        let first = JournalEntry {
            version,
            sequence: 1,
            term: 1,
            by: "ha1".into(),
            machine: None,
            boot: None,
            at,
            what,
        };
        let write = [Op::Set(keys.incident(), bytes(&record)), Op::Set(keys.journal_entry(1), bytes(&first))];
        self.site.write(&write).await;
        id
    }
}

async fn say(
    run: &Path,
    consul: &str,
    token: Option<&str>,
    program: &str,
    args: &[&str],
    stdin: &str,
) -> Said {
    let mut command = assert_cmd::Command::new(program);
    command
        .env_clear()
        .env("CONSUL_HTTP_ADDR", consul)
        .env("NOVA_HA_RUN_DIR", run)
        .env("NOVA_HA_NODE", "ha1")
        .envs(NO_CLOUD)
        .args(args)
        .write_stdin(stdin.to_owned())
        .timeout(Duration::from_secs(120));
    if let Some(token) = token {
        command.env("CONSUL_HTTP_TOKEN", token);
    }
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    Said {
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().expect("it ended by itself"),
    }
}

/// Exit 1, one line that names the thing, one with the next command, and no panic.
#[track_caller]
fn failed(said: &Said, names: &str, next: &str) {
    assert_eq!(said.code, 1, "{}{}", said.out, said.err);
    told(&said.err, names, next);
    assert!(said.err.lines().any(|line| line.starts_with("nova-ha-")), "{}", said.err);
}

#[track_caller]
fn told(text: &str, names: &str, next: &str) {
    let next_line = text.lines().find(|line| line.trim_start().starts_with("next: "));
    assert!(text.contains(names), "{names:?} is not in: {text}");
    assert!(next_line.is_some_and(|line| line.contains(next)), "no next command {next:?}: {text}");
    assert!(!text.contains("panicked"), "{text}");
    // 2026-11-22T17:42:21.123456789Z is for machines; a log line begins with one.
    for stamp in text.lines().filter(|line| !line.starts_with("20")).flat_map(|line| line.split('T').skip(1))
    {
        let fraction = stamp.get(8..9) == Some(".") && stamp.get(2..3) == Some(":");
        assert!(!fraction, "a timestamp with a fraction: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stdin_that_is_no_watch_view_marks_nobody() {
    let world = World::new().await;
    for stdin in ["hello", "{}", "[1]", "[{\"Node\":\"n1\"", "{\"CheckID\":\"x\"}", "\u{fffd}\u{0}"] {
        let said = world.unchanged(MARK, &[], stdin).await;
        failed(&said, "stdin is not what a Consul checks watch writes", "nova-ha generate consul-config");
    }
    // What Consul writes at the start of an agent is no fault.
    for stdin in ["", "[]", "null\n"] {
        let said = world.unchanged(MARK, &[], stdin).await.ok();
        assert!(said.out.contains("nobody is suspect"), "{}", said.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stdin_without_end_is_cut() {
    let world = World::new().await;
    let said = world.unchanged(MARK, &[], &" ".repeat(nova_ha::monitor::mark::hint::MAX_BYTES + 2)).await;
    failed(&said, "stdin is longer than", "nova-ha generate consul-config");
}

/// Under cron, ssh or another program stdin may be a pipe that nobody closes. It is only a hint.
#[tokio::test(flavor = "multi_thread")]
async fn a_stdin_that_nobody_closes_does_not_hold_up_the_judgement() {
    let world = World::new().await;
    let address = format!("127.0.0.1:{}", world.site.agent.port);
    let (run, began) = (world.run.path().to_owned(), std::time::Instant::now());
    let said = tokio::task::spawn_blocking(move || {
        let mut child = std::process::Command::new(MARK)
            .env_clear()
            .env("NOVA_HA_NODE", "ha1")
            .env("CONSUL_HTTP_ADDR", address)
            .env("NOVA_HA_RUN_DIR", run)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // Held open until it has ended.
        let mut open = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut open, b"[").unwrap();
        let out = child.wait_with_output().unwrap();
        drop(open);
        out
    })
    .await
    .unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(err.contains("stdin does not end"), "{out}{err}");
    assert!(said.status.code().is_some_and(|code| code != 1), "{out}{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_that_is_neither_true_nor_false_is_named_with_its_key() {
    let world = World::new().await;
    let key = keys::host(&"n1".parse().unwrap()).failed();
    world.site.put(&key, "Flase").await;
    let said = world.unchanged(MARK, &["n1"], "").await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    told(&said.out, &format!("{key} holds \"Flase\""), &format!("consul kv put {key} False"));
    // Its fault does not hide the others.
    let both = world.unchanged(MARK, &["n1", "n2"], "").await;
    assert!(both.out.contains("n2: no, "), "{}", both.out);
    // The sweep shows it too, as a warning.
    let swept = world.unchanged(MARK, &["--sweep"], "").await;
    assert_eq!(swept.code, 1, "{}{}", swept.out, swept.err);
    assert!(swept.out.contains(&key), "{}", swept.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_cannot_be_read_is_named_and_stops_nobody() {
    let world = World::new().await;
    let key = keys::ha_node(&"ha1".parse().unwrap()).names();
    world.site.write(&[Op::Set(key.clone(), b"{".to_vec())]).await;
    let said = world.unchanged(MARK, &["n1"], "").await;
    assert!(said.out.contains("n1: no, "), "{}{}", said.out, said.err);
    let warning = said.err.lines().find(|line| line.contains("WARN") && line.contains("ha_node=ha1"));
    let names = |what: &str| warning.is_some_and(|line| line.contains(what));
    assert!(names(&format!("{key} cannot be understood")), "{}", said.err);
    assert!(names(&format!("consul kv get {key}")), "{}", said.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_name_of_another_machine_nothing_is_judged_or_recovered() {
    let world = World::new().await;
    world.site.run(&["ha-node", "add", "ha1", "--replace", "--consul-node", "node9"]).await.ok();
    for program in [MARK, RECOVER] {
        let said = world.unchanged(program, &[], "").await;
        failed(&said, "two machines call themselves ha1", "NOVA_HA_NODE");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_nobody_is_refused() {
    let world = World::new().await;
    for by in ["", "  ", "-x", "a\nb"] {
        for (program, more) in [(MARK, &[][..]), (RECOVER, &["--release-storage"][..])] {
            let by = format!("--by={by}");
            let args = [&["n1", &by, "--yes", "n1"][..], more].concat();
            let said = world.unchanged(program, &args, "").await;
            assert_eq!(said.code, 2, "{program} {args:?}: {}{}", said.out, said.err);
            assert!(said.err.contains("--by"), "{program} {args:?}: {}", said.err);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_on_a_flag_that_is_neither_does_not_begin() {
    let world = World::new().await;
    open(&world.site, "n1@0").await;
    let key = keys::ha_node(&"ha1".parse().unwrap()).in_use();
    world.site.put(&key, "maybe").await;
    let said = world.unchanged(RECOVER, &[], "").await;
    failed(&said, &format!("{key} holds \"maybe\""), &format!("consul kv put {key} False"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_credential_is_named_and_nothing_is_claimed() {
    let world = World::new().await;
    let id = open(&world.site, "n1@0").await;
    let password = keys::host(id.host()).bmc_field("password");
    waits(
        &world,
        &id,
        &format!("{password} is missing"),
        "nova-ha host add n1 --replace --bmc-password-file",
    )
    .await;

    world
        .site
        .run_stdin(&["host", "add", "n1", "--replace", "--bmc-password-file", "-"], "env:NO_SUCH")
        .await
        .ok();
    waits(&world, &id, "NO_SUCH", "nova-ha host add n1 --replace --bmc-password-file FILE").await;

    world.site.run(&["ha-node", "add", "ha1", "--replace", "--os-cloud", "no-such-cloud"]).await.ok();
    waits(&world, &id, "no-such-cloud", "clouds.yaml").await;
}

/// The recovery waits, says why and what next; why is also noted under the incident, and that is
/// all that changes. A plan says the same and changes nothing at all.
async fn waits(world: &World, id: &IncidentId, names: &str, next: &str) {
    let planned = world.unchanged(RECOVER, &["--plan"], "").await;
    let before = world.tree().await;
    let said = world.say(RECOVER, &[], "").await;
    for said in [&planned, &said] {
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        assert!(said.out.contains(names) && said.out.contains(next), "{names}, {next}: {}", said.out);
        let all = format!("{}{}", said.out, said.err);
        assert!(!all.contains("Swordfish7"), "{all}");
    }
    let note = keys::incident(id).preflight(&"ha1".parse().unwrap());
    let without_note = |tree: Vec<(String, Vec<u8>, u64)>| {
        tree.into_iter().filter(|(key, _, _)| *key != note).collect::<Vec<_>>()
    };
    let after = world.tree().await;
    assert!(after.iter().any(|(key, _, _)| *key == note), "{}", said.out);
    assert_eq!(without_note(before), without_note(after));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_added_is_not_taken_for_a_healthy_one() {
    let world = World::new().await;
    let said = world.unchanged(MARK, &["n3"], "").await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    told(&said.out, "n3: no, nobody configured this host", "nova-ha host list");
    let ordered = world.unchanged(MARK, &["n3", "--by", "ann", "--yes", "n3"], "").await;
    assert_eq!(ordered.code, 3, "{}{}", ordered.out, ordered.err);
    failed(&world.unchanged(RECOVER, &["n3"], "").await, "host n3 is not configured", "nova-ha host list");
    for program in BOTH {
        failed(&world.unchanged(program, &["a b"], "").await, "a b", "nova-ha host list");
    }
    // A host that is there, and has nothing to be done.
    let said = world.unchanged(RECOVER, &["n1"], "").await.ok();
    assert!(said.out.contains("n1: no open incident"), "{}", said.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_nobody_added_recovers_nothing() {
    let world = World::new().await;
    open(&world.site, "n1@0").await;
    let said = world.unchanged(RECOVER, &["--ha-node", "ha9"], "").await;
    failed(&said, "HA node ha9 is not configured", "nova-ha ha-node add ha9");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_of_a_newer_version_is_left_alone() {
    let world = World::new().await;
    let id = open(&world.site, "n1@0").await;
    let key = keys::incident(&id).incident();
    world.site.put(&key, r#"{"version":9,"shape":"new"}"#).await;
    for program in BOTH {
        let said = world.unchanged(program, &["n1"], "").await;
        assert_eq!(said.code, 3, "{}{}", said.out, said.err);
        told(&said.out, &format!("{key} has format version 9"), "upgrade nova-ha");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_of_a_newer_version_is_not_continued() {
    let world = World::new().await;
    let id = world.claimed("n1@0").await;
    let key = keys::incident(&id).journal_entry(1);
    world.site.put(&key, r#"{"version":9,"sequence":1}"#).await;
    let said = world.unchanged(RECOVER, &[], "").await;
    assert_eq!(said.code, 3, "{}{}", said.out, said.err);
    told(&said.out, &format!("{key} has format version 9"), "upgrade nova-ha");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tree_that_was_never_made_is_not_an_empty_one() {
    let world = World::empty(Site::start().await);
    for program in BOTH {
        let said = world.unchanged(program, &[], "").await;
        failed(&said, "/meta is not readable", "nova-ha init");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_may_not_read_sees_no_empty_tree() {
    let world = World::empty(Site::with_acl().await);
    world.site.run(&["init"]).await.ok();
    world.site.run(&["ha-node", "add", "ha1", "--storage", "shared", "--consul-node", "node1"]).await.ok();
    world.site.run(&["host", "add", "n1", "--bmc-ip", "127.0.0.1"]).await.ok();
    let address = format!("127.0.0.1:{}", world.site.agent.port);
    let agent = &world.site.agent;
    let tree = |rules: &str| format!("{rules}\nsession_prefix \"\" {{ policy = \"write\" }}");
    let unable = [
        ("nothing", agent.token("nothing", &tree("")).await, "nova-ha generate acl"),
        (
            "the sentinel",
            agent.token("meta", &tree("key \"ha_cluster/meta\" { policy = \"read\" }")).await,
            "nova-ha",
        ),
        (
            "no incident",
            agent
                .token(
                    "no-incident",
                    &tree(
                        r#"key_prefix "ha_cluster/" { policy = "read" }
                           key_prefix "ha_cluster/incidents/" { policy = "deny" }
                           node_prefix "" { policy = "read" }
                           agent_prefix "" { policy = "read" }"#,
                    ),
                )
                .await,
            "nova-ha generate acl",
        ),
        ("(an unknown token)", "5e7a1c8e-0000-4000-8000-000000000bad".into(), "nova-ha generate acl"),
    ];
    let before = world.tree().await;
    for (what, token, next) in &unable {
        for program in BOTH {
            let said = say(world.run.path(), &address, Some(token), program, &[], "").await;
            assert_eq!(said.code, 1, "{what}: {program}: {}{}", said.out, said.err);
            told(&said.err, "", next);
        }
    }
    assert_eq!(before, world.tree().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consul_that_is_away_is_named_with_its_address() {
    let run = tempfile::tempdir().unwrap();
    let address = format!("127.0.0.1:{}", crate::support::sshd::closed_port());
    for program in BOTH {
        let said = say(run.path(), &address, None, program, &[], "").await;
        failed(&said, &address, "consul members");
    }
    for program in BOTH {
        let said = say(run.path(), "ftp://x", None, program, &[], "").await;
        failed(&said, "CONSUL_HTTP_ADDR", "CONSUL_HTTP_ADDR");
    }
}

/// Answers each request with 200 MB, with and without saying so before.
fn flood(announced: bool) -> u16 {
    const SIZE: usize = 200 * 1024 * 1024;
    crate::support::sshd::server(move |mut stream: TcpStream| {
        let mut request = [0; 4096];
        let _ = stream.read(&mut request);
        let length = if announced { format!("Content-Length: {SIZE}\r\n") } else { String::new() };
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n{length}\r\n[");
        let mut sent = stream.write_all(head.as_bytes());
        let block = vec![b' '; 1024 * 1024];
        for _ in 0..200 {
            sent = sent.and_then(|()| stream.write_all(&block));
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_200_megabytes_is_refused_before_it_is_read() {
    let run = tempfile::tempdir().unwrap();
    for announced in [true, false] {
        let address = format!("127.0.0.1:{}", flood(announced));
        for program in BOTH {
            let began = Instant::now();
            let said = say(run.path(), &address, None, program, &[], "").await;
            failed(&said, "is larger than", "consul members");
            assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
        }
    }
}
