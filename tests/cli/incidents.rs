//! `nova-ha incident`, `confirm-off` and `reset` on a real Consul, with incidents opened by the
//! transaction that `nova-ha-mark-failed` uses.

use std::time::Duration;

use crate::open_incident::{at, open};
use crate::site::Site;
use nova_ha::incident::guest::{GuestEntry, GuestState};
use nova_ha::incident::journal::{Event, JournalEntry, Outcome};
use nova_ha::incident::{IncidentRecord, Step};
use nova_ha::keys;
use nova_ha::names::IncidentId;
use nova_ha::store::{Op, SessionSpec, Store};
use nova_ha::tree::formats::published::Published;
use nova_ha::tree::record::bytes;

/// Appends events as a recovery does, and a guest.
async fn journal(site: &Site, id: &IncidentId, events: Vec<Event>) {
    let keys = keys::incident(id);
    let consul = site.agent.client();
    let entry = consul.get(&keys.incident()).await.unwrap().unwrap();
    let mut record: IncidentRecord = serde_json::from_slice(&entry.value).unwrap();
    let mut ops = Vec::new();
    for event in events {
        record.head += 1;
        record.status = record.status.after(&event).unwrap();
        record.holder = Some("ha1".parse().unwrap());
        let at = at(30 + i64::try_from(record.head).unwrap());
        let line = JournalEntry {
            version: 1,
            sequence: record.head,
            term: 1,
            by: "ha1".into(),
            machine: None,
            boot: None,
            at,
            what: event,
        };
        ops.push(Op::Set(keys.journal_entry(record.head), bytes(&line)));
    }
    ops.push(Op::Set(keys.incident(), bytes(&record)));
    let guest = GuestEntry {
        version: 1,
        server: "0b8b6c5e-0000-4000-8000-000000000001".into(),
        name: "web-1".into(),
        from: id.host().to_string(),
        term: 1,
        attempts: 1,
        before: 0,
        migration: Some(7),
        vm_state: "active".into(),
        ends_stopped: false,
        requests: vec!["req-1".into()],
        sent: None,
        state: GuestState::Recovered { to: "node3".into() },
        at: at(60),
    };
    ops.push(Op::Set(keys.guest(&guest.server), bytes(&guest)));
    site.write(&ops).await;
}

async fn site() -> Site {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    // The agent's own name (passing), and one that Consul does not know.
    site.run(&["host", "add", "node1"]).await.ok();
    site.run(&["host", "add", "node2"]).await.ok();
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_leads_an_incident_and_its_journal_says_who() {
    let site = site().await;
    let id = open(&site, "node1@0").await;
    let keys = keys::incident(&id);
    let step = |outcome| match outcome {
        None => Event::Started { step: Step::Fence, strategy: None, facts: vec!["power is on".into()] },
        Some(outcome) => Event::Finished { step: Step::Fence, outcome, facts: vec!["3 reads of off".into()] },
    };
    let events = vec![Event::Claimed { plan_hash: "x".into() }, step(None), step(Some(Outcome::Changed))];
    journal(&site, &id, events).await;

    // Opened in September, and nobody works on it.
    let shown = site.run(&["incident", "show", "node1@0"]).await.waits();
    for expected in
        ["claimed", "started: fence: power is on", "finished: fence, changed", "web-1", "node3", "detected"]
    {
        assert!(shown.out.contains(expected), "{expected}: {}", shown.out);
    }
    assert!(shown.out.lines().all(|line| line.chars().count() <= 80), "{}", shown.out);
    let json = site.run(&["incident", "show", "node1@0", "--json"]).await.waits().json();
    let phases: Vec<&str> =
        json["phases"].as_array().unwrap().iter().map(|p| p["phase"].as_str().unwrap()).collect();
    assert_eq!(phases, ["detected", "judged", "claimed", "fenced"]);
    assert_eq!(json["phases"][1]["seconds"], 30.0);
    assert_eq!(json["guests"][0]["outcome"], "recovered");
    assert_eq!(json["guests"][0]["to"], "node3");
    assert_eq!(json["summary"]["state"], "active");
    assert_eq!(json["journal"].as_array().unwrap().len(), 3);

    // Held, again held, resumed: the journal says who, and the HA nodes are woken.
    let hold = ["incident", "hold", "node1@0", "--reason", "wait for the disks", "--by", "ann"];
    site.run(&hold).await.ok();
    assert!(site.run(&hold).await.ok().out.contains("already so"));
    let said = site.run(&["status"]).await;
    assert!(
        said.code == 3 && said.out.contains("HELD") && said.out.contains("wait for the disks"),
        "{}",
        said.out
    );
    let queue = site.agent.client().get(keys::RECOVERY_QUEUE).await.unwrap().unwrap().modify_index;
    site.run(&["incident", "resume", "node1@0", "--by", "ann"]).await.ok();
    let woken = site.agent.client().get(keys::RECOVERY_QUEUE).await.unwrap().unwrap().modify_index;
    assert!(woken > queue);
    let list = site.run(&["incident", "list", "--json"]).await.ok().json();
    assert_eq!(list["incidents"][0]["state"], "active");
    assert_eq!(list["incidents"][0]["phase"], "fenced");

    // Nothing that a person may not do while it is open.
    site.run(&["host", "remove", "node1", "--yes", "node1"]).await.refused("incident node1@0 is open");
    site.run(&["reset", "node1", "--by", "ann", "--yes", "node1"]).await.refused("incident node1@0 is open");
    // It looks first: what says that the host lives has to be named.
    let word = ["confirm-off", "node1", "--by", "ann", "--ttl", "10m"];
    let yes = ["--yes", "node1"];
    let although = ["--although-its-agent-answers", "--although-the-votes-do-not-say-dead"];
    site.run(&[&word[..], &yes].concat())
        .await
        .refused("its Consul agent answers (serfHealth passing)")
        .refused("the votes do not say that it is dead")
        .next(&although.join(" "));
    site.run(&[&word[..], &yes, &although[..1]].concat()).await.refused("the votes do not say");
    site.run(&[&word[..], &although].concat()).await.refused("there is no terminal").next("--yes node1");
    assert_eq!(site.value(&keys.confirm_off()).await, None);
    // Whoever has its address refuses connections, at a port where nobody listens.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let node1 = keys::host(id.host());
    site.put(&node1.ssh_field("address"), "127.0.0.1").await;
    site.put(&node1.ssh_field("port"), closed).await;
    site.run(&[&word[..], &yes, &although].concat())
        .await
        .refused("its address takes connections or refuses them (connection refused)")
        .next("--although-its-address-answers");
    let although = [&although[..], &["--although-its-address-answers"]].concat();
    // An HA node of an older build would not read what the word stands against.
    site.run(&[&word[..], &yes, &although].concat())
        .await
        .refused("cannot confirm")
        .next("upgrade nova-ha on ha1");
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    site.put(&ha1.formats(), serde_json::to_vec(&Published::of_this_build(None)).unwrap()).await;
    site.run(&[&word[..], &yes, &although].concat()).await.ok();
    let stored: serde_json::Value =
        serde_json::from_str(&site.value(&keys.confirm_off()).await.unwrap()).unwrap();
    assert_eq!((&stored["ttl_seconds"], &stored["by"]), (&600.into(), &"ann".into()));
    assert_eq!(stored["although"], serde_json::json!(["unknown_key", "address", "agent", "observers"]));
    assert_eq!(site.run(&["confirm-off", "node1", "--by", "ann", "--ttl", "25h"]).await.code, 2);
    site.run(&["confirm-off", "node2", "--by", "a", "--yes", "node2"])
        .await
        .refused("no incident of it is open");

    // By a person's word its holder is gone, and nobody holds it.
    site.run(&hold).await.ok();
    let gone = |node| ["incident", "resume", "node1@0", "--by", "ann", "--gone", node];
    site.run(&gone("ha2")).await.refused("HA node ha1 holds it, and not ha2");
    site.run(&gone("ha1")).await.ok();
    // Both are words now, which an HA node writes into the journal.
    let shown = site.run(&["incident", "show", "node1@0", "--json"]).await.json();
    assert_eq!(shown["unheeded"][0]["what"]["reason"], "wait for the disks");
    assert_eq!(shown["unheeded"][1]["what"]["gone"], "ha1");
    assert_eq!(shown["summary"]["state"], "held");

    // While somebody holds the lock it is not abandoned.
    let consul = site.agent.client();
    let spec = SessionSpec {
        name: "t".into(),
        ttl: std::time::Duration::from_secs(60),
        lock_delay: std::time::Duration::ZERO,
    };
    let session = consul.create_session(&spec).await.unwrap();
    site.write(&[Op::Lock(keys.lock(), b"{}".to_vec(), session.clone())]).await;
    let abandon = ["incident", "abandon", "node1@0", "--by", "ann", "--yes", "node1"];
    site.run(&abandon).await.refused("holds its lock").next("nova-ha incident hold node1@0");
    consul.destroy_session(&session).await.unwrap();
    site.run(&abandon[..5]).await.refused("typed").next("incident abandon node1@0 --by ann --yes node1");
    site.run(&abandon).await.ok();
    site.run(&abandon).await.refused("it has ended");
    let json = site.run(&["incident", "show", "node1@0", "--json"]).await.ok().json();
    assert_eq!(json["summary"]["state"], "abandoned");
    assert_eq!(json["journal"][5]["what"]["by"], "ann");
    assert_eq!(json["faults"], serde_json::json!([]));

    // An entry of a newer version is said, and hides nothing.
    site.put(&keys.journal_entry(2), r#"{"version":7}"#).await;
    let said = site.run(&["incident", "show", "node1@0"]).await;
    assert!(
        said.code == 1 && said.out.contains("version 7,") && said.out.contains("claimed"),
        "{}",
        said.out
    );
    site.run(&["incident", "show", "node1@7"]).await.refused("did you mean node1@0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_host_is_good_again_in_one_transaction_or_not_at_all() {
    let site = site().await;
    for host in ["node1", "node2"] {
        let id = open(&site, &format!("{host}@0")).await;
        journal(&site, &id, vec![Event::Withdrawn { reason: "it came back".into() }]).await;
        site.put(&keys::host(id.host()).recovered(), "True").await;
    }
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    site.put(&ha1.in_use(), "True").await;
    site.put(&ha1.in_use_by(), "node1@0").await;
    let node1 = keys::host(&"node1".parse().unwrap());
    let observer = |fails: u64| {
        serde_json::json!({ "version": 1, "observer": "ha1", "epoch": 0, "sequence": 5, "fails": fails,
            "threshold": 3, "planes": {}, "interval_ms": 1000, "indices": [], "at": "2026-11-22T12:00:00Z",
            "life": { "boot_id": "b", "boottime_ms": 1, "seen_healthy": true }, "why": "timeout" })
        .to_string()
    };
    let record = node1.observer(&"ha1".parse().unwrap());
    site.put(&record, observer(3)).await;
    // What nobody understands refuses nobody, and goes with the others.
    site.put(&node1.observer(&"ha2".parse().unwrap()), "{").await;
    let before = site.tree().await;
    let reset = ["reset", "node1", "--by", "ann", "--yes", "node1", "--json"];
    site.run(&reset).await.refused("ha1 still see it fail").next("--maintenance");
    // A host that Consul does not see cannot be told to be alive.
    site.run(&["reset", "node2", "--by", "ann", "--yes", "node2"]).await.refused("not in the catalog");
    site.run(&["reset", "node1", "--by", "ann", "--maintenance"]).await.refused("typed");
    assert_eq!(site.tree().await, before);

    site.put(&record, observer(0)).await;
    let json = site.run(&reset).await.ok().json();
    assert_eq!((&json["outcome"], &json["epoch"]), (&"changed".into(), &1.into()));
    assert_eq!(json["released"], serde_json::json!(["ha1"]));
    for (key, expected) in [
        (node1.failed(), Some("False")),
        (node1.recovered(), Some("False")),
        (node1.epoch(), Some("1")),
        (node1.number_fails(), Some("0")),
        (record, None),
        (ha1.in_use(), Some("False")),
        (ha1.in_use_by(), None),
    ] {
        assert_eq!(site.value(&key).await.as_deref(), expected, "{key}");
    }
    assert_eq!(site.run(&reset).await.ok().json()["outcome"], "already_so");
    // The next failure is the next incident.
    open(&site, "node1@1").await;

    site.run(&["reset", "node2", "--by", "ann", "--yes", "node2", "--maintenance"]).await.ok();
    let json = site.run(&["host", "show", "node2", "--json"]).await.ok().json();
    assert_eq!(json["host"]["maintenance"]["on"], true);
    assert_eq!(json["host"]["epoch"], 1);
}

/// Whoever may write an incident may not write on a person's terminal.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_terminal_obeys_is_shown_and_not_sent_to_it() {
    let site = site().await;
    let id = open(&site, "node1@0").await;
    let said = "\u{1b}[2J\u{7}all is well\u{9b}31m\u{202e}";
    journal(&site, &id, vec![Event::Held { reason: said.into(), cause: None }]).await;
    let is_hidden = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
    for words in [&["status"][..], &["incident", "list"], &["incident", "show", "node1@0"]] {
        let shown = site.run(words).await;
        let text = format!("{}{}", shown.out, shown.err);
        assert!(!text.contains(is_hidden), "{words:?}: {text:?}");
        assert!(text.contains(r"\u{1b}[2J\u{7}all"), "{words:?}: {text}");
        let json = site.run(&[words, &["--json"]].concat()).await;
        assert!(!json.out.contains(is_hidden), "{words:?}: {:?}", json.out);
        assert!(json.json().to_string().contains("all is well"), "{words:?}");
    }
    let shown = site.run(&["incident", "show", "node1@0", "--json"]).await.json();
    assert_eq!(shown["journal"][0]["what"]["reason"], said, "a program reads what was written");
}

/// A process of ha1 that stood still in the middle of it would act on the host once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_given_back_only_when_each_machine_that_held_its_incident_is_through_with_it() {
    let site = site().await;
    let id = open(&site, "node2@0").await;
    let ended = [Event::Claimed { plan_hash: "x".into() }, Event::Abandoned { by: "ann".into() }];
    journal(&site, &id, ended.into()).await;
    let before = site.tree().await;
    let reset = ["reset", "node2", "--by", "ann", "--yes", "node2", "--maintenance"];
    let in_vain = [&reset[..], &["--wait", "0s"]].concat();
    let said = site.run(&in_vain).await.refused("HA node ha1 (it took the incident at 2");
    assert!(said.err.contains("waiting since 0 s") && said.err.contains("cannot say so"), "{}", said.err);
    said.next("nova-ha reset node2 --by ann --maintenance --gone ha1");
    assert_eq!(site.tree().await, before);

    // Its build says it, and has not yet; another machine of its name does not count, nor an earlier term.
    let ha1 = "ha1".parse().unwrap();
    site.put(&keys::ha_node(&ha1).formats(), serde_json::to_vec(&Published::of_this_build(None)).unwrap())
        .await;
    let said = site.run(&in_vain).await.refused("HA node ha1 (it took the incident at 2");
    assert!(!said.err.contains("cannot say so"), "{}", said.err);
    let word = |term: u64| {
        let machine = "a".repeat(32);
        serde_json::json!({"version": 1, "machine": machine, "term": term, "at": "2026-11-22T12:00:00Z"})
            .to_string()
    };
    let key = keys::incident(&id).gone(&ha1);
    site.put(&key, word(0)).await;
    site.run(&in_vain).await.refused("HA node ha1");
    // It says so while the reset waits.
    let (said, ()) = tokio::join!(site.run(&reset), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        site.put(&key, word(1)).await;
    });
    let said = said.ok();
    assert!(said.err.contains("waiting since 0 s"), "{}", said.err);
    assert_eq!(site.value(&keys::host(id.host()).epoch()).await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_says_that_an_ha_node_is_no_more_and_it_is_kept_with_the_incident() {
    let site = site().await;
    let id = open(&site, "node2@0").await;
    let ended = [Event::Claimed { plan_hash: "x".into() }, Event::Abandoned { by: "ann".into() }];
    journal(&site, &id, ended.into()).await;
    let reset = ["reset", "node2", "--by", "ann", "--yes", "node2", "--maintenance", "--wait", "0s"];
    site.run(&[&reset[..], &["--gone", "ha2"]].concat()).await.refused("HA node ha1");
    site.run(&[&reset[..], &["--gone", "ha1"]].concat()).await.ok();
    let note: serde_json::Value =
        serde_json::from_str(&site.value(&keys::incident(&id).reset()).await.unwrap()).unwrap();
    assert_eq!((&note["by"], &note["said_gone"]), (&"ann".into(), &serde_json::json!(["ha1"])));
}

/// In epoch 0 again it could not be marked: its incident is there, and has ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_was_removed_after_its_recovery_comes_back_protected() {
    let site = site().await;
    let id = open(&site, "node2@0").await;
    let ended = [Event::Claimed { plan_hash: "x".into() }, Event::Abandoned { by: "ann".into() }];
    journal(&site, &id, ended.into()).await;
    site.run(&["host", "remove", "node2", "--yes", "node2"]).await.ok();
    let before = site.tree().await;
    site.run(&["host", "add", "node2"])
        .await
        .refused("HA node ha1 (it took the incident at")
        .next("--gone ha1");
    assert_eq!(site.tree().await, before);
    site.run(&["host", "add", "node2", "--gone", "ha1"]).await.ok();
    let epoch = keys::host(id.host()).epoch();
    assert_eq!(site.value(&epoch).await.as_deref(), Some("1"));
    let note: serde_json::Value =
        serde_json::from_str(&site.value(&keys::incident(&id).reset()).await.unwrap()).unwrap();
    assert_eq!(note["said_gone"], serde_json::json!(["ha1"]));
    open(&site, "node2@1").await;
    // A change leaves it.
    site.run(&["host", "add", "node2", "--replace", "--ssh-user", "probe"]).await.ok();
    assert_eq!(site.value(&epoch).await.as_deref(), Some("1"));
}

/// The observers of a host that is off write at every probe; their writes do not refuse a reset.
#[tokio::test(flavor = "multi_thread")]
async fn a_reset_gets_through_while_the_observers_write() {
    let site = site().await;
    let node2 = keys::host(&"node2".parse().unwrap());
    for epoch in 0..12 {
        let id = open(&site, &format!("node2@{epoch}")).await;
        journal(&site, &id, vec![Event::Withdrawn { reason: "it came back".into() }]).await;
        // Fewer writes than a reset looks again, however slow this machine is.
        let (consul, key) = (site.agent.client(), node2.number_fails());
        let probes = tokio::spawn(async move {
            for count in 0..8_u64 {
                consul.transact(&[Op::Set(key.clone(), count.to_string().into_bytes())]).await.unwrap();
                tokio::time::sleep(std::time::Duration::from_millis(40)).await;
            }
        });
        site.run(&["reset", "node2", "--by", "ann", "--yes", "node2", "--maintenance"]).await.ok();
        probes.await.unwrap();
        site.put(&node2.maintenance(), r#"{"version":1,"on":false}"#).await;
    }
    assert_eq!(site.value(&node2.epoch()).await.as_deref(), Some("12"));
}
