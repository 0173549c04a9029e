//! `nova-ha host` and `ha-node` on a real Consul: what is added, what is refused, and that no
//! secret ever comes back.

use crate::site::Site;
use nova_ha::ssh::PinnedKey;

const SECRET: &str = "hunter2 with spaces";

fn file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_added_in_one_piece_and_its_secrets_never_come_back() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
    let private = file(&folder, "key", key);
    let reference = file(&folder, "reference", "file:/etc/nova-ha/ssh-password\n");
    let fence = file(
        &folder,
        "fence.json",
        r#"{"version":1,"levels":[{"driver":"ipmi","address":"10.0.0.1","user":"u","password":"hunter3"}]}"#,
    );
    site.run(&["init"]).await.ok();
    let mut args = vec!["host", "add", "node1.example.org", "--bmc-ip", "10.0.0.1", "--bmc-user", "admin"];
    args.extend(["--bmc-password-file", "-", "--bmc-cipher", "3", "--bmc-identity", "SN-1"]);
    args.extend(["--ssh-user", "root", "--ssh-port", "2222", "--ssh-private-key-file", &private]);
    args.extend(["--ssh-password-file", &reference, "--fence-file", &fence, "--nova-host", "nova1"]);
    let said = site.run_stdin(&args, &format!("{SECRET}\n")).await.ok();
    assert!(said.out.contains("added"), "{}", said.out);

    // What the original's scripts expect is there, spelled as they spell it.
    for (key, expected) in [
        ("status/failed", "False"),
        ("status/recovered", "False"),
        ("internal/number_fails", "0"),
        ("internal/runtime_config", "{}"),
        ("general", ""),
        ("config/bmc/ip", "10.0.0.1"),
        ("config/bmc/password", SECRET),
        ("config/ssh/password", "file:/etc/nova-ha/ssh-password"),
        ("config/maintenance", "False"),
        ("internal/epoch", "0"),
    ] {
        let key = format!("ha_cluster/compute_nodes/node1.example.org/{key}");
        assert_eq!(site.value(&key).await.as_deref(), Some(expected), "{key}");
    }

    for show in [
        &["host", "show", "node1.example.org"][..],
        &["host", "show", "node1.example.org", "--json"],
        &["host", "list"],
        &["host", "list", "--json"],
        &["status"],
        &["status", "--json"],
    ] {
        let said = site.run(show).await;
        // Nobody watches it yet: that waits for a person.
        let expected = if show[0] == "status" { 3 } else { 0 };
        assert_eq!(said.code, expected, "{show:?}: {}{}", said.out, said.err);
        for secret in ["hunter2", "hunter3", "c2VjcmV0"] {
            assert!(!said.out.contains(secret) && !said.err.contains(secret), "{show:?}: {}", said.out);
        }
        if !show.contains(&"--json") {
            // What is to be typed is never broken.
            let long = |line: &&str| line.chars().count() > 80 && !line.starts_with("  next: ");
            assert_eq!(said.out.lines().find(long), None, "{}", said.out);
        }
    }
    let shown = site.run(&["host", "show", "node1.example.org"]).await;
    assert!(shown.out.contains("(file:/etc/nova-ha/ssh-password)"), "{}", shown.out);
    let json = site.run(&["host", "show", "node1.example.org", "--json"]).await.json();
    assert_eq!(json["config"]["settings"]["bmc/password"], "(set)");
    assert_eq!(json["config"]["settings"]["fence"], "(set)");
    assert_eq!(json["config"]["names"]["nova_host"], "nova1");
    assert_eq!(json["host"]["failed"], false);

    // With --replace only what is named changes.
    let before = site.tree().await;
    let replace = ["host", "add", "node1.example.org", "--replace", "--bmc-user", "root"];
    site.run(&replace).await.ok();
    let after = site.tree().await;
    let changed: Vec<&str> =
        after.iter().filter(|entry| !before.contains(entry)).map(|(key, _, _)| key.as_str()).collect();
    assert_eq!(changed, ["ha_cluster/compute_nodes/node1.example.org/config/bmc/user"]);
    assert!(site.run(&replace).await.ok().out.contains("already so"));

    site.run(&["host", "remove", "node1.example.org"])
        .await
        .refused("no terminal")
        .next("nova-ha host remove node1.example.org --yes node1.example.org");
    site.run(&["host", "remove", "node1.example.org", "--yes", "node1"]).await.refused("is not");
    // On a terminal it asks, and only the whole name is a yes.
    for (typed, status) in [("node1", 1), ("node1.example.org", 0)] {
        assert_eq!(on_terminal(&site, "host remove node1.example.org", typed), status, "{typed}");
    }
    let stays = |key: &str| key.ends_with("/meta") || key == nova_ha::keys::MACHINES_ADDED;
    assert!(site.tree().await.iter().all(|(key, _, _)| stays(key)));
}

/// Runs it on a pseudo-terminal, types one line, and answers its exit code.
fn on_terminal(site: &Site, args: &str, typed: &str) -> i32 {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let program = assert_cmd::cargo::cargo_bin("nova-ha");
    let mut child = Command::new("script")
        .args(["-qec", &format!("{} {args}", program.display()), "/dev/null"])
        .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", site.agent.port))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(format!("{typed}\n").as_bytes()).unwrap();
    let status = child.wait().unwrap();
    drop(stdin);
    status.code().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_changes_nothing() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    // Without the sentinel nothing is told and nothing is written.
    for args in [
        &["status"][..],
        &["host", "list"],
        &["host", "add", "node1"],
        &["policy", "show"],
        &["maintenance", "on", "node1", "--by", "me"],
        &["generate", "acl", "--out", "/nonexistent/out"],
    ] {
        site.run(args).await.refused("ha_cluster/meta").next("nova-ha init");
    }
    assert!(site.tree().await.is_empty());

    assert_eq!(site.run(&["init", "--json"]).await.ok().json()["outcome"], "changed");
    assert_eq!(site.run(&["init", "--json"]).await.ok().json()["outcome"], "already_so");
    site.run(&["ha-node", "add", "ha1", "--targets", "hosts:a,b", "--storage", "shared"]).await.ok();
    site.run(&["host", "add", "node1"]).await.ok();
    site.run(&["host", "add", "node10"]).await.ok();
    let before = site.tree().await;

    site.run(&["host", "add", "node1"]).await.refused("already there").next("--replace");
    site.run(&["host", "add", "Node1"]).await.refused("nothing but case");
    site.run(&["host", "add", "HA1"]).await.refused("nothing but case");
    site.run(&["host", "add", "ha1"]).await.refused("HA node ha1 is already there");
    // Each Nova host is one machine.
    site.run(&["host", "add", "node2", "--nova-host", "node1"])
        .await
        .refused("host node1 is bound to Nova host node1");
    site.run(&["ha-node", "add", "ha2", "--storage", "shared", "--nova-host", "Node10"])
        .await
        .refused("host node10 is bound");
    site.run(&["host", "add", "node1", "--replace", "--nova-host", "ha1"])
        .await
        .refused("HA node ha1 is bound");
    site.run(&["ha-node", "add", "NODE10"]).await.refused("nothing but case");
    for dotted in ["node1.", "NODE1.", "node3."] {
        site.run(&["host", "add", dotted]).await.refused("ends with a dot");
    }
    site.run(&["host", "add", "node2", "--replace"]).await.refused("not in the tree");
    assert_eq!(site.run(&["host", "add", "a/b"]).await.code, 2);
    let bad_fence = file(&folder, "fence", r#"{"version":1,"levels":[]}"#);
    let newer_fence = file(&folder, "newer", r#"{"version":9,"levels":[]}"#);
    let missing = folder.path().join("missing");
    for (option, value, why) in [
        ("--bmc-ip", "http://bmc", "neither an IP address"),
        ("--bmc-port", "0", "no port"),
        ("--bmc-user", "two words", "space"),
        ("--fence-file", &bad_fence, "no level"),
        ("--fence-file", &newer_fence, "version 9"),
        ("--bmc-password-file", missing.to_str().unwrap(), "cannot read"),
        ("--ssh-private-key-file", &bad_fence, "neither a private key"),
        ("--ssh-host-key-file", &bad_fence, "no host key"),
    ] {
        site.run(&["host", "add", "node2", option, value]).await.refused(why);
    }
    for (option, value, why) in [
        ("--storage-exec", "take-storage --pool tank", "no absolute path"),
        ("--storage-exec", "/usr/../bin/take", "no absolute path"),
        ("--nova-mountpoint", "instances", "no absolute path"),
        ("--nova-user", "nova;id", "no user name"),
    ] {
        site.run(&["ha-node", "add", "ha2", option, value]).await.refused(why);
    }
    assert_eq!(site.run(&["ha-node", "add", "ha2", "--storage", "lvm"]).await.code, 2);
    site.run(&["host", "add", "node2", "--bmc-password-file", "-"]).await.refused("empty");
    let both = ["host", "add", "n", "--bmc-password-file", "-", "--ssh-password-file", "-"];
    site.run(&both).await.refused("only once");
    // Looking never makes a ghost.
    for args in [
        &["host", "show", "node3"][..],
        &["host", "remove", "node3", "--yes", "node3"],
        &["maintenance", "on", "node3", "--by", "me"],
        &["reset", "node3", "--by", "me", "--yes", "node3"],
        &["rejoin", "node3", "--by", "me", "--yes", "node3"],
        &["confirm-off", "node3", "--by", "me", "--yes", "node3"],
        &["generate", "consul-config", "--host", "node3", "--out", "/nonexistent/out"],
    ] {
        site.run(args).await.refused("node3 is not in the tree");
    }
    assert_eq!(site.tree().await, before);
    let said = site.run(&["host", "show", "node2.example.org"]).await.refused("not in the tree");
    assert!(said.err.contains("nova-ha host list"), "{}", said.err);

    let json = site.run(&["ha-node", "list", "--json"]).await.ok().json();
    assert_eq!(json["ha_nodes"][0]["name"], "ha1");
    site.put("ha_cluster/ha_nodes/ha1/status/in_use", "True").await;
    site.put("ha_cluster/ha_nodes/ha1/internal/in_use_by", "node1@0").await;
    let remove = ["ha-node", "remove", "ha1", "--yes", "ha1"];
    site.run(&remove).await.refused("in use by node1@0").next("nova-ha incident show node1@0");
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_that_are_added_at_once_never_differ_in_case_only() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    let names = ["rack1", "Rack1", "rack2", "RACK2", "rack3", "rAck3", "rack4", "racK4"];
    let adds = names.map(|name| ["host", "add", name]);
    let said = futures_util::future::join_all(adds.iter().map(|add| site.run(add))).await;
    for pair in said.chunks(2) {
        let codes: Vec<i32> = pair.iter().map(|said| said.code).collect();
        let text: Vec<&str> = pair.iter().map(|said| said.err.as_str()).collect();
        assert_eq!(codes.iter().sum::<i32>(), 1, "one of two is refused: {text:?}");
        assert!(text.iter().any(|err| err.contains("nothing but case")), "{text:?}");
    }
}

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIR1IHyLjqK1rqBEr0rjCJm4gPRzDBqqmIIf8bF8YxNl";
const UUID: &str = "4c4c4544-0042-3510-8051-b4c04f4b3233";
const ARRAY: &str = "a3a88330:384edff1:0c126ded:b8d8ca93";

/// What `nova-ha-runtime-info` writes.
fn published(uuid: &str, array: &str) -> String {
    published_at(uuid, array, &format!("naa.5000cca04dab{}", &array[array.len() - 4..]))
}

fn published_at(uuid: &str, array: &str, disk: &str) -> String {
    serde_json::json!({
        "version": 1, "system_uuid": uuid, "system_serial": "CZJ1234", "ssh_host_keys": [KEY],
        "md_arrays": {array: {"uuid": array, "name": "installer:md1", "level": "raid10", "num_devices": "2",
            "metadata": "1.2", "members": [{"disk": disk, "slot": 0, "in_sync": true}]}},
    })
    .to_string()
}

fn runtime_config(host: &str) -> String {
    format!("ha_cluster/compute_nodes/{host}/internal/runtime_config")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_is_bound_to_what_it_published_once_a_person_has_seen_it() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["host", "add", "node1"]).await.ok();
    let accept = ["host", "accept", "node1", "--by", "ann", "--yes", "node1"];
    site.run(&accept).await.refused("published nothing").next("nova-ha-runtime-info");
    site.put(&runtime_config("node1"), published(UUID, ARRAY)).await;

    let status = site.run(&["status"]).await;
    let words: Vec<&str> = status.out.split_whitespace().collect();
    let said = words.join(" ");
    assert!(said.contains("node1 (BMC identity, SSH host keys, 1 array)"), "{said}");
    assert!(said.contains("nova-ha host accept --all --by NAME"), "{said}");

    // Nothing is bound that nobody typed.
    let before = site.tree().await;
    site.run(&["host", "accept", "node1", "--by", "ann"]).await.refused("no terminal").next("--yes node1");
    assert_eq!(site.tree().await, before);

    let said = site.run(&accept).await.ok();
    for shown in [UUID, "CZJ1234", "...", ARRAY, "raid10, homehost installer"] {
        assert!(said.out.contains(shown), "{shown}: {}", said.out);
    }
    assert_eq!(said.out.lines().find(|line| line.chars().count() > 80), None, "{}", said.out);
    let root = "ha_cluster/compute_nodes/node1/config";
    assert_eq!(site.value(&format!("{root}/ssh/host_key")).await.as_deref(), Some(KEY));
    let bound: serde_json::Value =
        serde_json::from_str(&site.value(&format!("{root}/bound")).await.unwrap()).unwrap();
    assert_eq!((&bound["system_uuid"], &bound["by"]), (&UUID.into(), &"ann".into()));
    assert_eq!(bound["arrays"][ARRAY]["places"], serde_json::json!(["naa.5000cca04dabca93"]));
    let status = site.run(&["status"]).await.out;
    assert!(!status.contains("first sight"), "{status}");
    let before = site.tree().await;
    assert!(site.run(&accept).await.ok().out.contains("already so"));
    assert_eq!(site.tree().await, before);

    // What it publishes later is said, and not used.
    site.put(&runtime_config("node1"), published("4c4c4544-0042-3510-8051-b4c04f4b3299", ARRAY)).await;
    let status = site.run(&["status"]).await.waits();
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("node1 publishes otherwise than it is bound to"), "{said}");
    assert!(said.contains("nova-ha host accept node1 --by NAME"), "{said}");
    let all = site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.ok();
    assert!(all.out.contains("nothing was written"), "--all changes nothing that is bound: {}", all.out);
    site.run(&accept).await.ok();
    assert!(!site.run(&["status"]).await.out.contains("publishes otherwise"));
}

/// What an HA node writes once it has logged in to a machine that nobody bound.
fn first_seen(ha_node: &str, key: &str) -> String {
    serde_json::json!({
        "version": 3, "observer": ha_node, "epoch": 0, "sequence": 1, "fails": 0, "threshold": 3, "planes": {},
        "interval_ms": 10000, "indices": [], "life": {"boot_id": "b", "boottime_ms": 1, "seen_healthy": true},
        "first_seen_key": key, "at": "2026-11-30T00:00:00Z", "why": "",
    })
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ssh_host_key_that_ha_nodes_saw_first_is_bound_if_they_saw_the_same_one() {
    const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFBUQPfyWTEMmYVM4EVuyRJk7zDFYDAmkEyuqBJEOvJQ";
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    for host in ["node1", "node2"] {
        site.run(&["host", "add", host]).await.ok();
    }
    for node in ["ha1", "ha2", "ha3"] {
        site.run(&["ha-node", "add", node]).await.ok();
    }
    let of_host = |host: &str, ha: &str| format!("ha_cluster/compute_nodes/{host}/internal/observers/{ha}");
    let of_node = |node: &str, ha: &str| format!("ha_cluster/ha_nodes/{node}/internal/observers/{ha}");
    for ha in ["ha1", "ha2"] {
        site.put(&of_host("node1", ha), first_seen(ha, KEY)).await;
        site.put(&of_node("ha3", ha), first_seen(ha, KEY)).await;
    }
    site.put(&of_host("node2", "ha1"), first_seen("ha1", KEY)).await;
    site.put(&of_host("node2", "ha2"), first_seen("ha2", OTHER)).await;
    let key = |key: &str| PinnedKey::parse(key).unwrap().fingerprint().to_string();

    let status = site.run(&["status"]).await.waits();
    let said = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in [
        "node1 (SSH host key that HA nodes saw first), node2 (SSH host keys IN DOUBT)",
        "nova-ha host accept --all --by NAME",
        "host node2: its SSH host keys are IN DOUBT",
        &format!("ha1 saw {}", key(KEY)),
        &format!("ha2 saw {}", key(OTHER)),
        "nova-ha host add node2 --replace --ssh-host-key-file FILE",
        &format!("ha3 ({}, seen by ha1, ha2)", key(KEY)),
        "nova-ha ha-node add NAME --replace --ssh-host-key-file FILE",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let shown = site.run(&["host", "show", "node1"]).await.out;
    let words = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(&format!("first sight: it goes by SSH host key {}", key(KEY))), "{shown}");

    let all = site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.waits();
    assert!(all.out.contains("as ha1, ha2 first saw it"), "{}", all.out);
    assert!(all.out.contains("node2: left out: its SSH host keys are in doubt"), "{}", all.out);
    let root = "ha_cluster/compute_nodes/node1/config";
    assert_eq!(site.value(&format!("{root}/ssh/host_key")).await.as_deref(), Some(KEY));
    assert_eq!(site.value(&format!("{root}/bound")).await, None, "it is not bound to having no arrays");
    let accept = ["host", "accept", "node2", "--by", "ann", "--yes", "node2"];
    site.run(&accept).await.refused(&format!("ha2 saw {}", key(OTHER))).next("--ssh-host-key-file FILE");
    assert_eq!(site.value("ha_cluster/compute_nodes/node2/config/ssh/host_key").await, None);

    // What it publishes is offered beside what was seen, and bound by its name only.
    site.put(&runtime_config("node2"), published(UUID, ARRAY)).await;
    let all = site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.waits();
    assert!(all.out.contains("node2: left out: its SSH host keys are in doubt"), "{}", all.out);
    let one = site.run(&accept).await.ok().out;
    assert!(
        one.split_whitespace().collect::<Vec<_>>().join(" ").contains("SSH host keys are in doubt"),
        "{one}"
    );
    let status = site.run(&["status"]).await.out;
    assert!(!status.contains("IN DOUBT") && !status.contains("node2 ("), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_two_machines_claim_is_bound_to_one_of_them_by_its_name_only() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    let other = ("4c4c4544-0042-3510-8051-b4c04f4b0000", "a3a88330:384edff1:0c126ded:00000000");
    for (host, uuid, array) in [
        ("node1", UUID, ARRAY),
        ("node2", UUID, ARRAY),
        ("node3", other.0, other.1),
        ("node4", "garbage", "xxxx"),
    ] {
        site.run(&["host", "add", host]).await.ok();
        site.put(&runtime_config(host), published(uuid, array)).await;
    }
    site.put(&runtime_config("node4"), r#"{"version":1,"system_uuid":7,"ssh_host_keys":["k"]}"#).await;
    let all =
        site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all", "--json"]).await.waits().json();
    let bound = |host: &str| {
        let hosts = all["hosts"].as_array().unwrap();
        let found = hosts.iter().find(|one| one["host"] == host).unwrap_or_else(|| panic!("{host}: {all}"));
        found["refused"].is_null()
    };
    assert!(bound("node3") && !bound("node1") && !bound("node2") && !bound("node4"), "{all}");

    // A person decides; from then on the other one's word weighs nothing.
    let accept = |host: &'static str| ["host", "accept", host, "--by", "ann", "--yes", host];
    // Nor is it bound unseen that a member is where another machine has one.
    let array = "a3a88330:384edff1:0c126ded:55555555";
    let places = published_at("4c4c4544-0042-3510-8051-b4c04f4b5555", array, "naa.5000cca04dab0000");
    site.run(&["host", "add", "node5"]).await.ok();
    site.put(&runtime_config("node5"), places).await;
    let five = site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.waits().out;
    assert!(five.contains("node5: left out: a member of array"), "{five}");
    let said = site.run(&accept("node1")).await.ok().out;
    assert!(said.contains("from now on host node2 waits"), "{said}");
    site.run(&accept("node2")).await.refused("host node1 is bound to it").next("nova-ha host show node1");
    let json = site.run(&["status", "--json"]).await.json();
    let unprotected = |host: usize| json["hosts"][host]["unprotected"].to_string();
    assert!(unprotected(1).contains("host node1 is bound to it"), "{}", unprotected(1));
    assert!(!unprotected(0).contains("node2"), "{}", unprotected(0));
    site.run(&accept("node4")).await.refused("cannot be understood");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_long_form_of_a_hosts_name_is_bound_with_all_and_another_name_by_itself_only() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    for (host, nova_host) in
        [("node1", "node1.example.org"), ("node2", "cmp-2"), ("node3", "node4"), ("node4", "node4")]
    {
        site.run(&["host", "add", host]).await.ok();
        site.put(&runtime_config(host), format!(r#"{{"version":1,"nova_host":"{nova_host}"}}"#)).await;
    }
    let names = async |host: &str| site.value(&format!("ha_cluster/compute_nodes/{host}/config/names")).await;
    let said = site.run(&["host", "accept", "--all", "--by", "ann", "--yes", "all"]).await.waits().out;
    assert!(said.contains("node2: left out") && said.contains("node3: left out"), "{said}");
    assert!(names("node1").await.is_some_and(|names| names.contains("node1.example.org")));
    assert_eq!((names("node2").await, names("node3").await, names("node4").await), (None, None, None));
    let accept = |host: &'static str| ["host", "accept", host, "--by", "ann", "--yes", host];
    site.run(&accept("node2")).await.ok();
    assert!(names("node2").await.is_some_and(|names| names.contains("cmp-2")));
    site.run(&accept("node3")).await.refused("host node4 is bound to it");
    let status = site.run(&["status", "--json"]).await.json();
    for (host, in_doubt) in [(0, false), (1, false), (2, true)] {
        let why = status["hosts"][host]["unprotected"].to_string();
        assert_eq!(why.contains("Nova calls it"), in_doubt, "{why}");
    }
}
