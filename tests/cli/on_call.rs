//! Tokens of people: with *viewer* every command that looks works and nothing else does; with *on-call*, the viewer's policy and
//! that of the check that marks hosts, every command of who is on call; the token of that check alone gives no order.

use std::path::Path;

use crate::open_incident::open;
use crate::site::{Said, Site};
use nova_ha::fence::device_off::as_described;
use nova_ha::keys;
use nova_ha::store::{Op, Store, StoreError};
use nova_ha::tree::Snapshot;
use nova_ha::tree::formats::Formats;
use nova_ha::tree::formats::published::{Published, Words, publish};
use nova_ha::tree::formats::shown::show_that_it_may_open;

/// ann's word, with all that says otherwise named.
const WORD: [&str; 9] = [
    "confirm-off",
    "node1",
    "--by",
    "ann",
    "--yes",
    "node1",
    "--although-its-agent-answers",
    "--although-the-votes-do-not-say-dead",
    "--although-its-address-answers",
];

/// A canary in each place of a secret.
const SECRETS: [(&str, &str); 4] = [
    ("config/bmc/password", "CANARY-BMC"),
    ("config/ssh/password", "CANARY-SSH"),
    ("config/ssh/private_key", "CANARY-KEY"),
    (
        "config/fence",
        r#"{"version":1,"levels":[{"driver":"ipmi","address":"192.0.2.1","user":"u","password":"CANARY-FENCE"}]}"#,
    ),
];

async fn site() -> Site {
    let site = Site::with_acl().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    for host in ["node1", "node2"] {
        site.run(&["host", "add", host]).await.ok();
        for (key, value) in SECRETS {
            site.put(&format!("ha_cluster/compute_nodes/{host}/{key}"), value).await;
        }
    }
    let ha1 = keys::ha_node(&"ha1".parse().unwrap());
    site.put(&ha1.formats(), serde_json::to_vec(&Published::of_this_build(None)).unwrap()).await;
    site
}

async fn generated(site: &Site) -> tempfile::TempDir {
    let out = tempfile::tempdir().unwrap();
    site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    out
}

/// A token of these policies, as the documents say how to make one.
async fn token(site: &Site, out: &Path, policies: &[&str]) -> String {
    let mut rules = Vec::new();
    for policy in policies {
        let text = std::fs::read_to_string(out.join(format!("nova-ha-{policy}.hcl"))).unwrap();
        rules.push((format!("nova-ha-{policy}"), text));
    }
    site.agent.token_of(&rules).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_whose_policy_is_of_an_older_build_says_that_it_does_not_see_what_is_first_sight() {
    let site = site().await;
    let published = r#"{"version":1,"system_uuid":"4c4c4544-0042-3510-8051-b4c04f4b3233"}"#;
    for host in ["node1", "node2"] {
        site.put(&format!("ha_cluster/compute_nodes/{host}/internal/runtime_config"), published).await;
    }
    let names = keys::ha_node(&"ha1".parse().unwrap()).names();
    site.put(&names, r#"{"version":1,"consul_node":"node1"}"#).await;
    let sweep = async |token: &str| {
        let swept = site.program("nova-ha-mark-failed", Some(token), &["--sweep", "--ha-node", "ha1"]).await;
        assert_ne!(swept.code, 0, "a check's warning: {} {}", swept.out, swept.err);
        swept.out
    };
    // As the build 7763f26 wrote it, for other names.
    let older = include_str!("../data/7763f26/site/acl/nova-ha-mark-failed.hcl")
        .replace("/compute1.example.org/", "/node1/")
        .replace("/compute2/", "/node2/");
    let said = sweep(&site.agent.token("older", &older).await).await;
    assert!(said.contains("FIRST SIGHT: by what hosts are known is not shown"), "{said}");
    assert!(said.contains("nova-ha generate acl"), "{said}");
    let out = generated(&site).await;
    let said = sweep(&token(&site, out.path(), &["mark-failed"]).await).await;
    assert!(said.contains("known by its own word only") && !said.contains("is not shown"), "{said}");
}

async fn mark(site: &Site, token: &str, host: &str) -> Said {
    site.program(
        "nova-ha-mark-failed",
        Some(token),
        &[host, "--by", "ann", "--yes", host, "--although-it-answers"],
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_call_can_do_all_of_it_with_that_token_alone() {
    let site = site().await;
    let out = generated(&site).await;
    let on_call = token(&site, out.path(), &["viewer", "mark-failed", "on-call"]).await;
    let run = async |args: &[&str]| site.run_with(Some(&on_call), args, "").await;

    let said = run(&["status"]).await;
    assert!(said.code == 3 && said.err.is_empty(), "{}{}", said.out, said.err);
    run(&["maintenance", "on", "node2", "--reason", "a fan", "--by", "ann"]).await.ok();
    run(&["maintenance", "off", "node2", "--by", "ann"]).await.ok();
    run(&["maintenance", "on", "ha1", "--reason", "a fan", "--by", "ann"]).await.ok();
    run(&["maintenance", "off", "ha1", "--by", "ann"]).await.ok();

    let began = jiff::Timestamp::now().to_string();
    let storm = serde_json::json!({ "version": 1, "cause": { "storm": { "counted": 2, "limit": 1 } },
        "began_at": began, "seconds": 900 });
    site.put(keys::COOLDOWN, storm.to_string()).await;
    let said = run(&["cooldown", "show"]).await;
    assert!(said.out.contains("storm"), "{}{}", said.out, said.err);
    run(&["cooldown", "end", "--by", "ann"]).await.ok();

    let said = mark(&site, &on_call, "node1").await;
    assert!(said.out.contains("MARKED"), "{}{}", said.out, said.err);
    let order = site.value(&keys::incident(&"node1@0".parse().unwrap()).order()).await.unwrap();
    assert!(order.contains("\"by\":\"ann\""), "{order}");
    let of = keys::incident(&"node1@0".parse().unwrap());
    assert!(site.value(&of.opened()).await.unwrap().contains("\"by\":\"ann\""));
    assert_eq!(site.value(&of.incident()).await, None, "that is for recover alone to write");
    let shown = run(&["incident", "show", "node1@0"]).await;
    assert!(shown.out.contains("ordered") && shown.out.contains("by ann, for 900 s"), "{}", shown.out);
    // Said again: it takes the place of the first.
    let said = mark(&site, &on_call, "node1").await;
    assert!(said.out.contains("goes on by the word of ann"), "{}{}", said.out, said.err);

    run(&["incident", "hold", "node1@0", "--reason", "wait", "--by", "ann"]).await.ok();
    let listed = run(&["incident", "list"]).await.out;
    assert!(listed.contains("HELD") && listed.contains("wait (by ann)"), "{listed}");
    run(&["incident", "resume", "node1@0", "--by", "ann"]).await.ok();
    let shown = run(&["incident", "show", "node1@0"]).await.out;
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("by ann: resume") && !words.contains("ann: hold"), "{shown}");
    let note = serde_json::json!({ "version": 1, "node": "ha1", "reasons": ["node1 is not proved off: its BMC is silent"],
        "next": [], "since": "2026-11-30T12:00:00Z" });
    let preflight = keys::incident(&"node1@0".parse().unwrap()).preflight(&"ha1".parse().unwrap());
    site.put(&preflight, note.to_string()).await;
    let said = run(&WORD).await.ok().out;
    assert!(said.contains("This token may not ask the BMC of node1"), "{said}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        said.contains("HA node ha1 says since 2026-11-30 12:00:00Z") && said.contains("its BMC is silent"),
        "{said}"
    );
    let word = site.value(&keys::incident(&"node1@0".parse().unwrap()).confirm_off()).await.unwrap();
    assert!(word.contains("\"by\":\"ann\""), "{word}");

    // Its limits: what a recovery wrote down is the operator's to end.
    let said = run(&["incident", "abandon", "node1@0", "--by", "ann", "--yes", "node1"]).await;
    assert!(said.code == 1 && said.err.contains("operator"), "{}", said.err);
    let said = run(&["host", "add", "node3"]).await;
    assert!(said.code == 1 && said.err.contains("nova-ha generate acl"), "{}", said.err);
    assert_eq!(run(&["policy", "set", "storm_limit", "5"]).await.code, 1);
    sees_no_secret(&site, &on_call).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_looks_sees_where_everything_stands_and_changes_nothing() {
    let site = site().await;
    open(&site, "node1@0").await;
    let out = generated(&site).await;
    let viewer = token(&site, out.path(), &["viewer"]).await;
    let run = async |args: &[&str]| site.run_with(Some(&viewer), args, "").await;
    let before = site.tree().await;
    for args in [
        &["status"][..],
        &["status", "--json"],
        &["incident", "list"],
        &["incident", "show", "node1@0"],
        &["host", "list"],
        &["host", "show", "node1"],
        &["ha-node", "list"],
        &["ha-node", "show", "ha1"],
        &["policy", "show"],
    ] {
        let said = run(args).await;
        assert!([0, 3].contains(&said.code) && said.err.is_empty(), "{args:?}: {}{}", said.out, said.err);
        assert!(!said.out.contains("CANARY"), "{args:?}: {}", said.out);
    }
    let status = run(&["status"]).await.out;
    assert!(status.contains("this token may not read how 3 machines are powered off"), "{status}");
    assert!(!status.contains("no BMC"), "what is not seen is not missing: {status}");
    for args in [
        &["incident", "hold", "node1@0", "--reason", "x", "--by", "ann"][..],
        &["maintenance", "on", "node1", "--reason", "x", "--by", "ann"],
        &["incident", "abandon", "node1@0", "--by", "ann", "--yes", "node1"],
        &WORD,
    ] {
        let said = run(args).await;
        assert!(
            said.code == 1 && said.err.contains("nova-ha generate acl"),
            "{args:?}: {}{}",
            said.out,
            said.err
        );
    }
    assert_eq!(site.tree().await, before);
    sees_no_secret(&site, &viewer).await;
}

async fn sees_no_secret(site: &Site, token: &str) {
    let consul = site.agent.client_with_token(token);
    for (key, _) in SECRETS {
        let said = consul.get(&format!("ha_cluster/compute_nodes/node1/{key}")).await;
        assert!(matches!(said, Err(StoreError::Denied { .. })), "{key}: {said:?}");
    }
    let all = consul.list("ha_cluster/").await.unwrap();
    assert!(!all.iter().any(|entry| String::from_utf8_lossy(&entry.value).contains("CANARY")));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_of_a_check_gives_no_order_and_no_word() {
    let site = site().await;
    let out = generated(&site).await;
    let check = token(&site, out.path(), &["mark-failed"]).await;
    let said = mark(&site, &check, "node1").await;
    assert_ne!(said.code, 0, "{}{}", said.out, said.err);
    assert!(said.err.contains("the token of who is on call"), "{}{}", said.out, said.err);
    let id = open(&site, "node1@0").await;
    let said = mark(&site, &check, "node1").await;
    assert!(said.code != 0 && said.err.contains("the token of who is on call"), "{}{}", said.out, said.err);
    let keys = keys::incident(&id);
    let consul = site.agent.client_with_token(&check);
    let of_recover = [
        keys.incident(),
        keys.lock(),
        keys.term(),
        keys.journal_entry(1),
        keys.guest("g"),
        keys.devices(),
        keys.reset(),
    ];
    let of_people = [
        keys.order(),
        keys.confirm_off(),
        keys.device_off("1.2"),
        keys.hold(),
        keys.resume(),
        keys.retry(),
        keys.settled("g"),
    ];
    for key in of_recover.into_iter().chain(of_people) {
        let said = consul.transact(&[Op::Set(key.clone(), b"{}".to_vec())]).await;
        assert!(matches!(said, Err(StoreError::Denied { .. })), "{key}: {said:?}");
    }
}

/// What an HA node found of node1's two feeds.
fn found(described: &str, second: &str) -> String {
    let device = |device: u64, answer: &str| {
        serde_json::json!({ "level": 1, "device": device, "name": format!("agent fence_apc_snmp at 192.0.2.{device} plug 7"),
            "answer": answer, "said": if answer == "silent" { "no answer" } else { answer } })
    };
    serde_json::json!({ "version": 1, "node": "ha1", "at": "2026-11-30T12:00:00Z", "described": described,
        "devices": [device(1, "on"), device(2, second)] })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_call_speaks_for_one_silent_device_and_a_device_that_answers_for_itself() {
    let site = site().await;
    let id = open(&site, "node1@0").await;
    let out = generated(&site).await;
    let on_call = token(&site, out.path(), &["viewer", "mark-failed", "on-call"]).await;
    let run = async |args: &[&str]| site.run_with(Some(&on_call), args, "").await;
    let (of, node1) = (keys::incident(&id), keys::host(id.host()));
    site.put(&node1.agent(), "none").await;
    let word = ["confirm-off", "node1", "--device", "1.2", "--by", "ann", "--yes", "node1"];

    run(&word).await.refused("no HA node has found it silent beside others of its level");
    for (answer, why) in [("on", "says that it is on"), ("unknown", "neither on nor off")] {
        site.put(&of.devices(), found("config/fence@1", answer)).await;
        run(&word).await.refused(why);
    }
    site.put(&of.devices(), found("config/fence@1", "off")).await;
    let said = run(&word).await.ok().out;
    assert!(said.contains("not needed, it reads off by itself"), "{said}");
    assert_eq!(site.value(&of.device_off("1.2")).await, None);

    site.put(&of.devices(), found("config/fence@1", "silent")).await;
    let other = ["confirm-off", "node1", "--device", "1.3", "--by", "ann", "--yes", "node1"];
    run(&other).await.refused("1.2 agent fence_apc_snmp at 192.0.2.2 plug 7: no answer");
    run(&word[..6])
        .await
        .refused("there is no terminal")
        .next("nova-ha confirm-off node1 --device 1.2 --by ann");
    let shown = run(&["incident", "show", "node1@0"]).await.out;
    assert!(shown.contains("nova-ha confirm-off node1 --device 1.2 --by NAME"), "{shown}");
    for bad in ["", "1", "1.0", "x.y", "1.2.3", "-1.2"] {
        let device = format!("--device={bad}");
        assert_eq!(run(&["confirm-off", "node1", &device, "--by", "ann"]).await.code, 2, "{bad:?}");
    }
    let both = [&word[..], &["--although-its-agent-answers"]].concat();
    assert_eq!(run(&both).await.code, 2);
    assert_eq!(site.value(&of.device_off("1.2")).await, None);

    let said = run(&word).await.ok().out;
    assert!(said.contains("192.0.2.1 plug 7 has to read off beside it"), "{said}");
    let stored: serde_json::Value =
        serde_json::from_str(&site.value(&of.device_off("1.2")).await.unwrap()).unwrap();
    let fields = (&stored["incident"], &stored["device"], &stored["by"], &stored["described"]);
    assert_eq!(fields, (&"node1@0".into(), &2.into(), &"ann".into(), &"config/fence@1".into()));
    let shown = run(&["incident", "show", "node1@0"]).await.out;
    assert!(shown.contains("device off:     1.2 (agent fence_apc_snmp"), "{shown}");
    assert!(!shown.contains("--device 1.2"), "there is a word for it: {shown}");
    assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
    let json = run(&["incident", "show", "node1@0", "--json"]).await.json();
    assert_eq!((&json["devices_off"][0]["device"], &json["devices"]["node"]), (&2.into(), &"ha1".into()));

    // When it was tried last is said by this machine's clock; one that is ahead of it makes no negative age.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(90);
    let note = serde_json::json!({ "version": 2, "node": "ha1", "reasons": ["PDU B is silent"], "next": [],
        "since": "2026-11-30T12:00:00Z", "tried": { "at": at.to_string(), "again": "next_run" } });
    site.put(&of.preflight(&"ha1".parse().unwrap()), note.to_string()).await;
    for args in [&["incident", "show", "node1@0"][..], &["status"]] {
        let shown = run(args).await.out;
        let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("0 s ago; tries again with its next run, each minute"), "{shown}");
        let is_wide = |line: &&str| !line.contains("next: ") && line.chars().count() > 80;
        assert!(args[0] == "status" || !shown.lines().any(|line| is_wide(&line)), "{shown}");
    }

    // Whoever may see how it is powered off compares that with what the HA node asked.
    site.run(&word).await.refused("how node1 is powered off was changed since ha1 asked it");
    let mut tree = Snapshot::default();
    tree.extend(site.agent.client().list(&node1.config()).await.unwrap());
    site.put(&of.devices(), found(&as_described(&tree, &node1), "silent")).await;
    site.run(&word).await.ok();
    // A host that lives is not spoken for.
    site.write(&[Op::Delete(node1.agent())]).await;
    run(&word).await.refused("has to be silent: its Consul agent answers");
    let said = site.run_with(Some(&token(&site, out.path(), &["viewer"]).await), &word, "").await;
    assert_ne!(said.code, 0, "{}{}", said.out, said.err);
}

/// The policies are loaded in any order: a check whose token may not open apart opens as before, and the host is protected.
#[tokio::test(flavor = "multi_thread")]
async fn a_check_with_the_policy_of_an_older_build_opens_as_that_one_does() {
    let site = site().await;
    let out = generated(&site).await;
    let new = std::fs::read_to_string(out.path().join("nova-ha-mark-failed.hcl")).unwrap();
    let opened = "key_prefix \"ha_cluster/opened/\" {\n  policy = \"write\"\n}\n";
    let old = new.replace(opened, "").replace(
        "key_prefix \"ha_cluster/incidents/\" {\n  policy = \"read\"",
        "key_prefix \"ha_cluster/incidents/\" {\n  policy = \"write\"",
    );
    assert!(!old.contains(opened) && old != new);
    let old = site.agent.token("check-old", &old).await;
    let node1 = keys::host(&"node1".parse().unwrap());
    site.put(&node1.failed(), "True").await;
    let said = site.program("nova-ha-mark-failed", Some(&old), &["--sweep"]).await;
    assert!(said.out.contains("MARKED"), "{}{}", said.out, said.err);
    let of = keys::incident(&"node1@0".parse().unwrap());
    assert!(site.value(&of.incident()).await.is_some() && site.value(&of.opened()).await.is_none());

    // The other way round: no HA node has said yet that it takes openings up, and the policies are loaded already.
    site.write(&[Op::Delete(keys::ha_node(&"ha1".parse().unwrap()).formats())]).await;
    let new = site.agent.token("check-new", &new).await;
    site.put(&keys::host(&"node2".parse().unwrap()).failed(), "True").await;
    let said = site.program("nova-ha-mark-failed", Some(&new), &["--sweep"]).await;
    assert!(said.out.contains("node2: MARKED"), "{}{}", said.out, said.err);
    let of = keys::incident(&"node2@0".parse().unwrap());
    assert!(site.value(&of.incident()).await.is_none() && site.value(&of.opened()).await.is_some());
}

/// Until its token may, an HA node says that it does not read the layout, and to people why.
#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_reads_the_layout_once_its_own_token_was_tried_on_it() {
    let site = site().await;
    let out = generated(&site).await;
    let new = std::fs::read_to_string(out.path().join("nova-ha-recover-ha1.hcl")).unwrap();
    // As `generate acl` wrote it before.
    let start = new.find("# What the checks open").unwrap();
    let end = new.find("# Where host").unwrap();
    let old = format!("{}{}", &new[..start], &new[end..]);
    let ha1 = "ha1".parse().unwrap();
    let reads = async |rules: &str, name: &str| {
        let token = site.agent.token(name, rules).await;
        publish(&site.agent.client_with_token(&token), &ha1, "boot", Words::default()).await.unwrap();
        let stored = site.value(&keys::ha_node(&ha1).formats()).await.unwrap();
        let published: Published = serde_json::from_str(&stored).unwrap();
        (published.reads["layout"], published.remarks)
    };
    site.write(&[Op::Delete(keys::ha_node(&ha1).formats())]).await;
    let (layout, remarks) = reads(&old, "old").await;
    assert_eq!(layout, 0);
    assert!(remarks[0].next.contains("nova-ha generate acl"), "{remarks:?}");
    let status = site.run(&["status"]).await.waits().out;
    assert!(status.contains("may not write below"), "{status}");
    let (layout, remarks) = reads(&new, "new").await;
    assert!(layout == 1 && remarks[0].why.contains("nova-ha-mark-failed has not run"), "{remarks:?}");
    // Not before its mark-failed showed that it may open incidents apart.
    let check = std::fs::read_to_string(out.path().join("nova-ha-mark-failed.hcl")).unwrap();
    let without = check.replace("key_prefix \"ha_cluster/opened/\"", "key_prefix \"ha_cluster/somewhere/\"");
    let formats = Formats::read(&site.agent.client()).await.unwrap();
    let shows = async |rules: &str, name: &str| {
        let token = site.agent.token(name, rules).await;
        show_that_it_may_open(&site.agent.client_with_token(&token), &ha1, &formats).await
    };
    assert!(matches!(shows(&without, "check-old").await, Err(StoreError::Denied { .. })));
    assert_eq!(reads(&new, "new1").await.0, 1);
    assert!(shows(&check, "check-new").await.unwrap());
    let end = new.find("# What people say").unwrap();
    let without = format!("{}{}", &new[..new.find("# What the checks open").unwrap()], &new[end..]);
    let (layout, remarks) = reads(&without, "new2").await;
    assert_eq!(layout, 1);
    assert!(remarks[0].why.contains("ha_cluster/opened/"), "{remarks:?}");
    let (layout, remarks) = reads(&new, "new3").await;
    assert_eq!((layout, remarks.len()), (2, 0));
    assert!(site.tree().await.iter().all(|(key, _, _)| !key.contains("/tried/")));
}

/// An upgrade passes through each of these: the policies are loaded, and an HA node has not said yet, or not all of it, that it
/// reads people's words apart. Who is on call does all of it, and is told which HA node does not heed it yet.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_on_call_can_do_all_of_it_while_an_upgrade_rolls() {
    let site = site().await;
    site.run(&["ha-node", "add", "ha2"]).await.ok();
    let out = generated(&site).await;
    let on_call = token(&site, out.path(), &["viewer", "mark-failed", "on-call"]).await;
    let viewer = token(&site, out.path(), &["viewer"]).await;
    let run = async |args: &[&str]| site.run_with(Some(&on_call), args, "").await;
    let of_this_build = serde_json::to_string(&Published::of_this_build(None)).unwrap();
    let says = async |node: &str, layout: Option<u64>| {
        let key = keys::ha_node(&node.parse().unwrap()).formats();
        let Some(layout) = layout else { return site.write(&[Op::Delete(key)]).await };
        let mut published: serde_json::Value = serde_json::from_str(&of_this_build).unwrap();
        published["reads"]["layout"] = layout.into();
        site.put(&key, published.to_string()).await;
    };
    // An order names who has to say what it reads first, where a build is so old, or so new, that it has said nothing.
    says("ha1", Some(1)).await;
    says("ha2", None).await;
    let said = mark(&site, &on_call, "node1").await;
    assert!(said.out.contains("HA node ha2 does not read"), "{}{}", said.out, said.err);
    let states =
        [(Some(0), Some(0)), (Some(1), Some(0)), (Some(1), Some(1)), (Some(2), Some(0)), (Some(2), Some(1))];
    for (ha1, ha2) in states {
        let which = format!("ha1 {ha1:?}, ha2 {ha2:?}");
        says("ha1", ha1).await;
        says("ha2", ha2).await;
        let of = keys::incident(&"node1@0".parse().unwrap());
        let said = mark(&site, &on_call, "node1").await;
        assert!(said.out.contains("MARKED"), "{which}: {}{}", said.out, said.err);
        let said = mark(&site, &on_call, "node1").await;
        assert!(said.out.contains("goes on by the word of ann"), "{which}: {}{}", said.out, said.err);
        assert!(site.value(&of.order()).await.unwrap().contains("ann"), "{which}");

        for taken_up in [false, true] {
            if taken_up {
                // As an HA node takes it up.
                forget(&site).await;
                open(&site, "node1@0").await;
            }
            let hold = ["incident", "hold", "node1@0", "--reason", "wait", "--by", "ann"];
            let said = site.run_with(Some(&viewer), &hold, "").await;
            assert!(said.code == 1 && said.err.contains("nova-ha generate acl"), "{which}: {}", said.err);
            let said = run(&hold).await;
            // What nobody is known to heed is no success.
            let expected = if ha1.is_some_and(|layout| layout >= 1) { 0 } else { 3 };
            assert_eq!(said.code, expected, "{which}: {}{}", said.out, said.err);
            let names_it = said.out.contains("ha2") && said.out.contains("nova-ha-recover");
            assert_eq!(names_it, ha2 != Some(1), "{which}: {}", said.out);
            assert!(site.value(&of.hold()).await.unwrap().contains("ann"), "{which}");
            let listed = run(&["incident", "list"]).await.out;
            assert!(listed.contains("HELD") && listed.contains("wait (by ann)"), "{which}: {listed}");
            let said = run(&["incident", "resume", "node1@0", "--by", "ann"]).await;
            assert_eq!(said.code, 0, "{which}: {}{}", said.out, said.err);
            assert!(site.value(&of.hold()).await.is_none(), "{which}");
            assert!(site.value(&of.resume()).await.unwrap().contains("ann"), "{which}");
            let said = run(&WORD).await.ok();
            assert!(site.value(&of.confirm_off()).await.unwrap().contains("ann"), "{which}: {}", said.out);
            run(&WORD).await.ok();
            // An operator's hold does not leave a resume behind that would undo it.
            site.run(&hold).await.ok();
            assert!(site.value(&of.resume()).await.is_none(), "{which}");
            if taken_up {
                let said = run(&["incident", "resume", "node1@0", "--by", "ann"]).await;
                assert!([0, 3].contains(&said.code), "{which}: {}{}", said.out, said.err);
                assert!(site.value(&of.resume()).await.unwrap().contains("ann"), "{which}");
            }
            let gone = [of.hold(), of.resume(), of.confirm_off()].map(Op::Delete);
            site.write(&gone).await;
        }
        forget(&site).await;
    }
}

/// The incident of node1, as if there had been none.
async fn forget(site: &Site) {
    let all = site.tree().await.into_iter().map(|(key, _, _)| key);
    let mut gone: Vec<Op> = all.filter(|key| key.contains("node1@0")).map(Op::Delete).collect();
    gone.push(Op::Delete(keys::host(&"node1".parse().unwrap()).failed()));
    site.write(&gone).await;
}
