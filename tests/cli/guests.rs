//! `nova-ha guest settle` and `incident retry` on a real Consul: a closed incident that left a guest held.

use crate::open_incident::{at, open};
use crate::site::Site;
use nova_ha::incident::IncidentRecord;
use nova_ha::incident::guest::{GuestEntry, GuestState, HeldFor};
use nova_ha::incident::journal::{Event, JournalEntry, Outcome};
use nova_ha::incident::status::State;
use nova_ha::incident::step::RECOVERY;
use nova_ha::keys;
use nova_ha::names::IncidentId;
use nova_ha::store::{Op, Store};
use nova_ha::tree::formats::published::Published;
use nova_ha::tree::record::{bytes, parse};

const HELD: &str = "0b8b6c5e-0000-4000-8000-000000000001";
const DONE: &str = "0b8b6c5e-0000-4000-8000-000000000002";

async fn record(site: &Site, id: &IncidentId) -> IncidentRecord {
    let entry = site.agent.client().get(&keys::incident(id).incident()).await.unwrap().unwrap();
    parse(&entry.key, &entry.value).unwrap()
}

/// node2 was recovered on storage that all see; `web-1` was being rebuilt, and `web-2` runs elsewhere.
async fn site() -> (Site, IncidentId) {
    on(Site::start().await).await
}

async fn on(site: Site) -> (Site, IncidentId) {
    site.run(&["init"]).await.ok();
    for node in ["ha1", "ha2"] {
        site.run(&["ha-node", "add", node, "--storage", "shared"]).await.ok();
        let keys = keys::ha_node(&node.parse().unwrap());
        site.put(&keys.formats(), serde_json::to_vec(&Published::of_this_build(None)).unwrap()).await;
    }
    site.run(&["host", "add", "node2"]).await.ok();
    let id = open(&site, "node2@0").await;
    let keys = keys::incident(&id);
    let mut record = record(&site, &id).await;
    let mut events = vec![Event::Claimed { plan_hash: "x".into() }];
    for row in &RECOVERY {
        let (step, outcome) = (row.step, Outcome::Changed);
        let strategy = (step == nova_ha::incident::Step::TakeStorage)
            .then_some(nova_ha::tree::storage::StrategyName::Shared);
        events.push(Event::Started { step, strategy, facts: vec![] });
        events.push(Event::Finished { step, outcome, facts: vec![] });
    }
    events.push(Event::Closed { summary: "PARTIAL: 1 held, 1 recovered; 1 guest held: web-1".into() });
    let mut ops = Vec::new();
    for what in events {
        record.status = record.status.after(&what).unwrap();
        record.head += 1;
        let at = at(30 + i64::try_from(record.head).unwrap());
        let (sequence, by) = (record.head, "ha1".to_owned());
        let entry = JournalEntry { version: 2, sequence, term: 1, by, machine: None, boot: None, at, what };
        ops.push(Op::Set(keys.journal_entry(sequence), bytes(&entry)));
    }
    record.holder = Some("ha1".parse().unwrap());
    ops.push(Op::Set(keys.incident(), bytes(&record)));
    ops.push(Op::Set(keys.term(), b"1".to_vec()));
    ops.push(Op::Set(keys::host(id.host()).recovered(), b"True".to_vec()));
    let cause = Some(HeldFor::OwnState);
    let held = GuestState::Held { why: "rebuilding: its disk may be half written".into(), cause };
    for (server, name, state) in
        [(HELD, "web-1", held), (DONE, "web-2", GuestState::Recovered { to: "ha1".into() })]
    {
        let guest = GuestEntry {
            version: 1,
            server: server.into(),
            name: name.into(),
            from: "node2".into(),
            term: 1,
            attempts: 0,
            before: 0,
            migration: None,
            vm_state: "active".into(),
            ends_stopped: false,
            requests: vec![],
            sent: None,
            state,
            at: at(60),
        };
        ops.push(Op::Set(keys.guest(server), bytes(&guest)));
    }
    site.write(&ops).await;
    (site, id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_held_guest_is_named_until_a_person_says_what_became_of_it() {
    let (site, id) = site().await;
    let settle = format!("nova-ha guest settle node2@0 {HELD} --recovered-on HOST|--stays|--lost --by NAME");
    let retry = format!("nova-ha incident retry node2@0 --guest {HELD} --by NAME");
    for words in [&["status"][..], &["incident", "list"], &["incident", "show", "node2@0"]] {
        let said = site.run(words).await.waits();
        let text = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("web-1"), "{words:?}: {}", said.out);
        if words != ["incident", "list"] {
            assert!(text.contains(&settle) && text.contains(&retry), "{words:?}: {}", said.out);
        }
    }
    let list = site.run(&["incident", "list", "--json"]).await.json();
    assert_eq!(list["incidents"][0]["state"], "closed");
    assert_eq!(list["incidents"][0]["reasons"][0], "1 guest held: web-1");

    // No host is given back under it.
    let before = site.tree().await;
    let gone = ["--gone", "ha1", "--maintenance", "--wait", "0s"];
    let reset = [&["reset", "node2", "--by", "ann", "--yes", "node2"][..], &gone].concat();
    for command in [
        &reset[..],
        &["rejoin", "node2", "--by", "ann", "--yes", "node2"],
        &["host", "remove", "node2", "--yes", "node2"],
    ] {
        let said = site
            .run(command)
            .await
            .refused(&format!("1 guest of node2@0 held, and nobody said what became of it: web-1 ({HELD})"));
        said.next(&settle);
    }
    assert_eq!(site.tree().await, before);

    let base = ["guest", "settle", "node2@0"];
    let say = async |server: &str, how: &[&str]| {
        site.run(&[&base[..], &[server], how, &["--by", "ann"]].concat()).await
    };
    say(DONE, &["--lost"]).await.refused("it is not held, it is recovered");
    say("0b8b6c5e-0000-4000-8000-000000000009", &["--lost"]).await.refused("has no such guest");
    assert_eq!(say(HELD, &[]).await.code, 2);
    assert_eq!(say(HELD, &["--lost", "--stays"]).await.code, 2);
    assert_eq!(site.tree().await, before);
    say(HELD, &["--recovered-on", "ha2"]).await.ok();
    let said = say(HELD, &["--recovered-on", "ha2"]).await.ok();
    assert!(said.out.contains("already so"), "{}", said.out);
    let word = site.value(&keys::incident(&id).settled(HELD)).await.unwrap();
    assert!(word.contains(r#""by":"ann""#) && word.contains(r#""host":"ha2""#), "{word}");
    let shown = site.run(&["incident", "show", "node2@0"]).await.ok();
    assert!(shown.out.contains("recovered on ha2, says ann"), "{}", shown.out);
    site.run(&["incident", "list"]).await.ok();
    site.run(&["incident", "retry", "node2@0", "--by", "ann"]).await.refused("no guest of it is held");
    site.run(&reset).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_has_the_held_guests_of_a_closed_incident_retried() {
    let (site, id) = site().await;
    // An HA node that would not read it.
    let key = keys::ha_node(&"ha2".parse().unwrap()).formats();
    let published = site.value(&key).await.unwrap();
    site.put(&key, published.replace(r#""incident":3"#, r#""incident":2"#)).await;
    let retry = ["incident", "retry", "node2@0", "--by", "ann"];
    let before = site.tree().await;
    site.run(&retry)
        .await
        .refused("HA node ha2 does not read the incident record in version 3")
        .next("upgrade nova-ha on ha2");
    assert_eq!(site.tree().await, before);
    site.put(&key, published.clone()).await;
    site.run(&[&retry[..], &["--guest", DONE]].concat()).await.refused("is not held");
    site.run(&retry).await.ok();
    // A word, and an order of its own: what an HA node makes of it is tried in the recovery's own world.
    let word = site.value(&keys::incident(&id).retry()).await.unwrap();
    assert!(word.contains("\"by\":\"ann\""), "{word}");
    let order = site.value(&keys::incident(&id).order()).await.unwrap();
    assert!(order.contains("\"by\":\"ann\""), "{order}");
    assert_eq!(site.value(keys::RECOVERY_QUEUE).await.as_deref(), Some("node2@0"));
    let shown = site.run(&["incident", "show", "node2@0"]).await;
    assert!(shown.out.contains("by ann: retry all held guests"), "{}", shown.out);
    // While an older HA node is configured the command opens it again itself.
    let older = published.replace(r#""layout":2"#, r#""layout":1"#);
    site.put(&key, older).await;
    site.run(&retry).await.ok();
    let open = record(&site, &id).await;
    assert!(open.status.retry && open.status.state == State::Active && open.version == 3);
    assert_eq!((&open.order, &open.holder), (&None, &None));
    // Nothing is said about what is being worked at, and no host is given back under it.
    site.run(&["guest", "settle", "node2@0", HELD, "--lost", "--by", "ann"])
        .await
        .refused("a recovery works on");
    site.run(&retry).await.refused("it is open");
    site.run(&["reset", "node2", "--by", "ann", "--yes", "node2", "--maintenance"])
        .await
        .refused("incident node2@0 is open");
    let shown = site.run(&["incident", "show", "node2@0"]).await;
    assert!(shown.out.contains("opened again by ann, for its held guests"), "{}", shown.out);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_call_settles_and_retries_with_that_token_alone() {
    let (site, id) = on(Site::with_acl().await).await;
    let out = tempfile::tempdir().unwrap();
    site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    let policies = ["viewer", "mark-failed", "on-call"].map(|name| {
        let text = std::fs::read_to_string(out.path().join(format!("nova-ha-{name}.hcl"))).unwrap();
        (name.to_owned(), text)
    });
    let on_call = site.agent.token_of(&policies).await;
    let run = async |args: &[&str]| site.run_with(Some(&on_call), args, "").await;
    run(&["incident", "retry", "node2@0", "--by", "ann"]).await.ok();
    assert!(site.value(&keys::incident(&id).order()).await.unwrap().contains("ann"));
    assert!(site.value(&keys::incident(&id).retry()).await.is_some());

    // Its policies are loaded, and one HA node has not said that it heeds what is said apart.
    let (site, id) = on(Site::with_acl().await).await;
    let key = keys::ha_node(&"ha2".parse().unwrap()).formats();
    let published = site.value(&key).await.unwrap();
    site.put(&key, published.replace(r#""layout":2"#, r#""layout":0"#)).await;
    let on_call = site.agent.token_of(&policies).await;
    let said = site.run_with(Some(&on_call), &["incident", "retry", "node2@0", "--by", "ann"], "").await.ok();
    assert!(said.out.contains("HA node ha2 has not said"), "{}", said.out);
    assert!(site.value(&keys::incident(&id).order()).await.unwrap().contains("ann"));
    assert!(site.value(&keys::incident(&id).retry()).await.unwrap().contains("ann"));

    let (site, id) = on(Site::with_acl().await).await;
    let on_call = site.agent.token_of(&policies).await;
    let run = async |args: &[&str]| site.run_with(Some(&on_call), args, "").await;
    run(&["guest", "settle", "node2@0", HELD, "--lost", "--by", "ann"]).await.ok();
    assert!(site.value(&keys::incident(&id).settled(HELD)).await.is_some());
}
