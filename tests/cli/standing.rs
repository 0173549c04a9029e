//! What of an open incident waits for a person, or stands still, is in `nova-ha status` and in the sweep's check, on a real
//! Consul.

use crate::open_incident::open;
use crate::site::Site;
use nova_ha::incident::guest::{GuestEntry, GuestState};
use nova_ha::incident::note::WaitingNote;
use nova_ha::keys;
use nova_ha::store::{Op, SessionSpec, Store};
use nova_ha::tree::record::{Record, bytes};

/// What both say, on one line, and how the sweep ended.
struct Both {
    status: String,
    sweep: String,
    swept: i32,
}

async fn both(site: &Site) -> Both {
    let status = site.run(&["status"]).await.waits();
    let run_dir = tempfile::tempdir().unwrap();
    let mut sweep = assert_cmd::Command::cargo_bin("nova-ha-mark-failed").unwrap();
    sweep
        .env_clear()
        .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", site.agent.port))
        .env("NOVA_HA_RUN_DIR", run_dir.path())
        .args(["--sweep", "--ha-node", "node1"]);
    let output = tokio::task::spawn_blocking(move || sweep.output().unwrap()).await.unwrap();
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    Both {
        status: words(status.out),
        sweep: words(String::from_utf8(output.stdout).unwrap()),
        swept: output.status.code().unwrap(),
    }
}

impl Both {
    #[track_caller]
    fn say(&self, expected: &str) {
        assert!(self.status.contains(expected), "status: {expected}: {}", self.status);
        assert!(self.sweep.contains(expected), "sweep: {expected}: {}", self.sweep);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_waits_or_stands_still_is_a_warning_and_after_a_while_critical() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "node1"]).await.ok();
    site.run(&["host", "add", "c1", "--agent", "none"]).await.ok();
    // It was opened in September.
    let id = open(&site, "c1@0").await;
    let keys = keys::incident(&id);

    let unclaimed = both(&site).await;
    unclaimed.say("no HA node has taken it, and none says why");
    unclaimed.say("nova-ha-recover c1");
    assert_eq!(unclaimed.swept, 2, "{}", unclaimed.sweep);
    assert!(!unclaimed.sweep.contains("is open"), "it is said once: {}", unclaimed.sweep);
    assert_eq!(both(&site).await.sweep, unclaimed.sweep, "the text of an unchanged state is the same");

    // Within `attention_after` it is a warning.
    site.put(keys::POLICY, r#"{"version":2,"attention_after":"90000h"}"#).await;
    assert_eq!(both(&site).await.swept, 1);

    let note = WaitingNote {
        version: 1,
        node: "node1".parse().unwrap(),
        reasons: vec!["its BMC does not answer".into()],
        next: vec!["nova-ha confirm-off c1 --by NAME".into()],
        since: crate::open_incident::at(60),
        tried: None,
    };
    site.write(&[Op::Set(keys.preflight(&note.node), bytes(&note))]).await;
    let waiting = both(&site).await;
    waiting.say("its BMC does not answer");
    waiting.say("nova-ha confirm-off c1 --by NAME");
    assert!(waiting.status.contains("c1@0 WAITING") && waiting.sweep.contains("WAITING: node1: its BMC"));
    assert_eq!(waiting.swept, 1);

    // The reason stays while its holder has the lock.
    let consul = site.agent.client();
    let spec = SessionSpec {
        name: "t".into(),
        ttl: std::time::Duration::from_secs(60),
        lock_delay: std::time::Duration::ZERO,
    };
    let session = consul.create_session(&spec).await.unwrap();
    let record = site.value(&keys.incident()).await.unwrap();
    let held_by_node1 = record.replace(r#""holder":null"#, r#""holder":"node1""#);
    assert_ne!(record, held_by_node1);
    site.put(&keys.incident(), &held_by_node1).await;
    site.write(&[Op::Lock(keys.lock(), b"{}".to_vec(), session)]).await;
    both(&site).await.say("its BMC does not answer");

    // Its holder lives and has the lock, says nothing and does nothing.
    site.write(&[Op::DeleteTree(keys.preflights())]).await;
    both(&site).await.say("node1 has it, and nothing was written since");

    site.put(&keys.guest("0b8b6c5e-0000-4000-8000-000000000001"), "{").await;
    both(&site).await.say("BAD DATA: ");

    site.run(&["incident", "hold", "c1@0", "--reason", "wait for the disks", "--by", "ann"]).await.ok();
    let held = both(&site).await;
    held.say("wait for the disks");
    held.say("nova-ha incident resume c1@0 --by NAME");
    held.say("BAD DATA: ");
    assert_eq!(held.swept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_nova_name_is_in_doubt_is_a_warning_before_it_dies() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "node1"]).await.ok();
    site.run(&["host", "add", "c1", "--agent", "none"]).await.ok();
    site.put(
        &keys::host(&"c1".parse().unwrap()).runtime_config(),
        r#"{"version":1,"nova_host":"c1.example.org"}"#,
    )
    .await;
    let said = both(&site).await;
    said.say("it publishes that Nova calls it c1.example.org, and it is bound to c1");
    said.say("nova-ha host add c1 --replace --nova-host NAME");
    assert_eq!(said.swept, 1, "{}", said.sweep);
    site.run(&["host", "add", "c1", "--replace", "--nova-host", "c1.example.org"]).await.ok();
    let said = both(&site).await;
    assert!(!said.sweep.contains("bound to") && !said.status.contains("bound to"), "{}", said.sweep);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_are_known_by_their_own_word_only_are_a_warning_until_somebody_binds_them() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "node1"]).await.ok();
    for host in ["c1", "c2"] {
        site.run(&["host", "add", host, "--agent", "none"]).await.ok();
        let uuid = format!("4c4c4544-0042-3510-8051-b4c04f4b32{host}").replace('c', "0");
        let key = keys::host(&host.parse().unwrap()).runtime_config();
        site.put(&key, format!(r#"{{"version":1,"system_uuid":"{uuid}"}}"#)).await;
    }
    let said = both(&site).await;
    assert!(
        said.sweep.contains("c1: FIRST SIGHT: known by its own word only (BMC identity); 1 more host"),
        "{}",
        said.sweep
    );
    said.say("nova-ha host accept --all --by NAME");
    assert_eq!(said.swept, 1, "{}", said.sweep);
    site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.ok();
    let said = both(&site).await;
    assert!(!said.sweep.contains("FIRST SIGHT") && !said.status.contains("first sight"), "{}", said.sweep);
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_on_an_ha_node_that_nobody_sees_are_named_until_their_host_is_reset() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "node1"]).await.ok();
    // It is no node of this Consul: its agent left.
    site.run(&["ha-node", "add", "ha9", "--nova-host", "spare-9"]).await.ok();
    site.run(&["host", "add", "c1", "--agent", "none"]).await.ok();
    let id = open(&site, "c1@0").await;
    let keys = keys::incident(&id);
    let guest = GuestEntry {
        version: GuestEntry::VERSION,
        server: "0b8b6c5e-0000-4000-8000-000000000001".into(),
        name: "vm-01".into(),
        from: "c1".into(),
        term: 1,
        attempts: 1,
        before: 0,
        migration: None,
        vm_state: "active".into(),
        ends_stopped: false,
        requests: Vec::new(),
        sent: None,
        state: GuestState::Recovered { to: "spare-9".into() },
        at: crate::open_incident::at(60),
    };
    site.put(&keys.guest(&guest.server), bytes(&guest)).await;
    site.run(&["incident", "hold", "c1@0", "--reason", "look", "--by", "ann"]).await.ok();
    site.run(&["incident", "abandon", "c1@0", "--by", "ann", "--yes", "c1"]).await.ok();
    let said = both(&site).await;
    said.say("HA node ha9 has no Consul agent, so nobody sees whether it lives, with guests on it: vm-01;");
    said.say("openstack server list --all --host spare-9");
    said.say("nova-ha incident show c1@0");
    assert_eq!(said.swept, 1, "{}", said.sweep);
    site.run(&["reset", "c1", "--maintenance", "--by", "ann", "--yes", "c1"]).await.ok();
    let said = both(&site).await;
    assert!(!said.sweep.contains("vm-01") && !said.status.contains("vm-01"), "{}", said.sweep);
}
