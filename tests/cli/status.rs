//! `nova-ha status`, `policy`, `maintenance` on a real Consul: bad data hides nothing, and what a
//! token may not read is never taken for empty.

use crate::site::Site;
use nova_ha::keys;
use nova_ha::store::{Op, Store};
use nova_ha::tree::formats::published::{Remark, Stopped, Words, publish};

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_key_never_hides_the_others() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    // `node1` is the agent's own name: Consul says that it passes.
    let reachable =
        ["--ssh-user", "root", "--bmc-ip", "10.0.0.1", "--bmc-user", "ha", "--bmc-password-file", "-"];
    for host in ["node1", "node2"] {
        site.run_stdin(&[&["host", "add", host][..], &reachable].concat(), "hunter2").await.ok();
    }
    site.put("ha_cluster/compute_nodes/node2/status/failed", "Flase").await;
    site.put("ha_cluster/compute_nodes/a b/status/failed", "False").await;
    site.put("ha_cluster/incidents/node2@0/incident", r#"{"version":9,"shape":"new"}"#).await;

    let said = site.run(&["status"]).await;
    assert_eq!(said.code, 1, "{}", said.out);
    for expected in ["holds \"Flase\"", "a b/status/failed", "format version 9", "upgrade nova-ha", "passing"]
    {
        assert!(said.out.contains(expected), "{expected}: {}", said.out);
    }
    let json = site.run(&["status", "--json"]).await.json();
    let host = |n: usize| &json["hosts"][n];
    assert_eq!(host(0)["name"], "node1");
    assert_eq!(host(0)["consul_says"], "passing");
    assert_eq!(host(0)["failed"], false);
    let nobody = "seen by 0 of 1 HA node (ha1: its Consul agent does not pass)";
    assert_eq!(host(0)["unprotected"], serde_json::json!([nobody]));
    assert_eq!(host(1)["consul_says"], "absent");
    assert!(host(1)["failed"].is_null(), "{}", host(1));
    assert_eq!(json["quorum"], serde_json::json!({ "needed": 1, "passing": 0, "configured": 1 }));
    for field in ["cooldown", "generation", "ha_nodes", "open_incidents", "warnings", "faults"] {
        assert!(json.get(field).is_some(), "{field}");
    }
    // What would decide on the bad key refuses instead.
    for args in [
        &["reset", "node2", "--by", "me", "--yes", "node2"][..],
        &["host", "remove", "node2", "--yes", "node2"],
    ] {
        site.run(args).await.refused("ha_cluster/");
    }
    site.put("ha_cluster/meta", r#"{"version":2}"#).await;
    site.run(&["status"]).await.refused("format version 2").next("upgrade nova-ha");
    site.run(&["host", "add", "node3"]).await.refused("format version 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cooldown_is_shown_with_whom_it_is_about_and_ended_by_a_person() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    for host in ["node1", "node2", "node3"] {
        site.run(&["host", "add", host]).await.ok();
    }
    assert!(site.run(&["cooldown", "show"]).await.out.contains("no cool-down is in force"));
    let began = jiff::Timestamp::now();
    let storm = |more: &str| {
        format!(
            r#"{{"version":1,"cause":{{"storm":{{"counted":2,"limit":1{more}}}}},"began_at":"{began}","seconds":900}}"#
        )
    };
    let domain = r#","domains":["rack1"],"hosts":["node1","node2"]"#;
    site.run(&["policy", "set", "domains", r#"[{"name":"rack1","hosts":["node1","node2"],"limit":1}]"#])
        .await
        .ok();
    site.put("ha_cluster/cooldown", &storm(domain)).await;
    // node1 still fails, and so does node3, which is not in that domain.
    for host in ["node1", "node3"] {
        let record = format!(
            r#"{{"version":1,"observer":"ha1","epoch":0,"sequence":3,"fails":3,"threshold":3,"planes":{{}},"interval_ms":10000,
                "indices":[],"life":{{"boot_id":"b","boottime_ms":1,"seen_healthy":true}},"at":"{began}","why":""}}"#
        );
        site.put(&format!("ha_cluster/compute_nodes/{host}/internal/observers/ha1"), &record).await;
    }
    let shown = site.run(&["cooldown", "show"]).await;
    assert_eq!(shown.code, 3, "a host fails and is not marked: {}", shown.out);
    for expected in
        ["in domain rack1 (node1, node2)", "nobody in domain rack1", "nova-ha-mark-failed node1 --by NAME"]
    {
        assert!(shown.out.contains(expected), "{expected}: {}", shown.out);
    }
    let json = site.run(&["status", "--json"]).await.json();
    assert_eq!(json["cooldown"]["failing"], serde_json::json!(["node1"]));
    assert_eq!(json["cooldown"]["hosts"], serde_json::json!(["node1", "node2"]));
    let status = site.run(&["status"]).await.out;
    let status: Vec<&str> = status.split_whitespace().collect();
    assert!(status.join(" ").contains("Failing now and not marked: node1"), "{status:?}");
    // As a reader wrote it that knows no domains: the whole site rests.
    site.put("ha_cluster/cooldown", &storm("")).await;
    let json = site.run(&["cooldown", "show", "--json"]).await.json();
    assert_eq!(json["failing"], serde_json::json!(["node1", "node3"]));

    assert_eq!(site.run(&["cooldown", "end"]).await.code, 2, "who says so?");
    let ended = site.run(&["cooldown", "end", "--by", "ann"]).await;
    assert!(ended.code == 0 && ended.out.contains("ended by ann"), "{}", ended.out);
    assert!(site.run(&["cooldown", "end", "--by", "ann"]).await.out.contains("already so"));
    // One that nobody can read stops every judgement; it is ended all the same.
    site.put("ha_cluster/cooldown", "{").await;
    site.run(&["cooldown", "show"]).await.refused("ha_cluster/cooldown");
    site.run(&["cooldown", "end", "--by", "ann"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_recovery_reads_is_shown_before_one_is_needed() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    site.run(&["host", "add", "node1", "--ssh-user", "root", "--bmc-ip", "10.0.0.1"]).await.ok();
    let said = site.run(&["status", "--json"]).await;
    assert_eq!(said.code, 3, "what is unprotected waits for a person");
    let json = said.json();
    let missing = "ha_cluster/compute_nodes/node1/config/bmc/user is missing";
    assert!(json["hosts"][0]["unprotected"].to_string().contains(missing), "{json}");
    for (machine, key, value) in [
        ("compute_nodes/node1", "config/fence", "{"),
        ("compute_nodes/node1", "config/ssh/port", "ssh"),
        ("compute_nodes/node1", "internal/runtime_config", "["),
        ("compute_nodes/node1", "config/bmc/port", "-1"),
        ("ha_nodes/ha1", "config/targets", "compute2"),
        ("ha_nodes/ha1", "config/nova_mountpoint", "instances"),
    ] {
        let key = format!("ha_cluster/{machine}/{key}");
        if key.ends_with("bmc/port") {
            let whole = ["--bmc-user", "ha", "--bmc-password-file", "-"];
            let args = [&["host", "add", "node1", "--replace"][..], &whole].concat();
            site.run_stdin(&args, "hunter2").await.ok();
        }
        site.put(&key, value).await;
        let said = site.run(&["status"]).await;
        assert_eq!(said.code, 1, "{key}: {}", said.out);
        assert!(said.out.contains(&format!("next: look at it: consul kv get {key}")), "{key}: {}", said.out);
        site.write(&[Op::Delete(key)]).await;
    }
    assert_eq!(site.run(&["status"]).await.code, 3);
}

/// The service that is generated for the agent `node1`, with these of its checks; a check that is told its status from
/// outside runs nothing.
async fn runs_checks(site: &Site, ids: &[&str]) {
    let check = |id: &&str| serde_json::json!({ "id": id, "name": id, "ttl": "1h", "status": "warning" });
    let checks: Vec<serde_json::Value> = ids.iter().map(check).collect();
    let config = serde_json::json!({ "services": [{ "name": "nova-ha", "checks": checks }] });
    std::fs::write(site.agent.conf().join("nova-ha.json"), config.to_string()).unwrap();
    site.agent.reload().await;
}

async fn checks_says(site: &Site, id: &str, status: &str, output: &str) {
    let body = serde_json::json!({ "Status": status, "Output": output });
    site.agent.put(&format!("agent/check/update/{id}"), &body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_nobody_probes_is_named_with_why_and_what_to_type() {
    // Else Consul passes on what a check says minutes later, while its status stays the same.
    let site = Site::with(serde_json::json!({ "check_update_interval": "0s" })).await;
    site.run(&["init"]).await.ok();
    // The agent's own name: its checks are those of this HA node.
    site.run(&["ha-node", "add", "node1"]).await.ok();
    let reachable = ["--ssh-user", "root", "--bmc-ip", "10.0.0.1", "--bmc-user", "ha", "--agent", "none"];
    let add = [&["host", "add", "c1"][..], &reachable, &["--bmc-password-file", "-"]].concat();
    let said = site.run_stdin(&add, "hunter2").await.ok();
    for next in ["generate acl", "generate consul-config --host c1", "generate consul-config --ha-node node1"]
    {
        assert!(said.out.contains(next), "{next}: {}", said.out);
    }
    let run_dir = tempfile::tempdir().unwrap();
    let status_and_sweep = async || {
        let said = site.run(&["status"]).await;
        let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut sweep = assert_cmd::Command::cargo_bin("nova-ha-mark-failed").unwrap();
        sweep
            .env_clear()
            .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", site.agent.port))
            .env("NOVA_HA_RUN_DIR", run_dir.path())
            .args(["--sweep", "--ha-node", "node1"]);
        let swept = tokio::task::spawn_blocking(move || sweep.output().unwrap()).await.unwrap();
        let out = String::from_utf8(swept.stdout).unwrap();
        let swept_words = out.split_whitespace().collect::<Vec<_>>().join(" ");
        (said.code, words, swept.status.code().unwrap(), swept_words)
    };
    let until = async |expected: &str| {
        let mut seen = status_and_sweep().await;
        for _ in 0..50 {
            if seen.1.contains(expected) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            seen = status_and_sweep().await;
        }
        assert!(seen.1.contains(expected), "status: {expected}: {}", seen.1);
        seen
    };
    let generate = "on node1: nova-ha generate consul-config --ha-node node1 --out DIR; consul reload";
    let probe = "nova-ha-probe:c1";

    let nothing = "seen by 0 of 1 HA node (node1: no check of nova-ha is to be seen there)";
    let (code, status, swept, sweep) = until(nothing).await;
    assert_eq!((code, swept), (3, 1), "{sweep}");
    assert!(status.contains(generate) && sweep.contains(generate), "{status}\n{sweep}");
    assert!(sweep.contains(&format!("c1: UNPROTECTED: {nothing}")), "{sweep}");

    runs_checks(&site, &["nova-ha-mark-failed"]).await;
    let (code, status, swept, sweep) = until("(node1: it has no check for it)").await;
    assert_eq!((code, swept), (3, 1), "{sweep}");
    assert!(status.contains(generate) && sweep.contains("it has no check for it"), "{sweep}");

    runs_checks(&site, &["nova-ha-mark-failed", probe]).await;
    let (code, _, swept, sweep) = until("(node1: its check has said nothing yet)").await;
    assert_eq!((code, swept), (3, 1), "{sweep}");

    let refused = "c1:22 login as root rejected; nova-ha host add c1 --replace --ssh-user NAME";
    checks_says(&site, probe, "warning", &format!("WARNING c1: cannot tell: {refused}")).await;
    let (code, _, swept, sweep) = until(&format!("its check cannot tell: {refused}")).await;
    assert_eq!((code, swept), (3, 1), "{sweep}");
    assert!(sweep.contains(refused), "{sweep}");

    checks_says(&site, probe, "critical", "fork/exec: no such file").await;
    let (code, _, swept, _) = until("its check does not run: fork/exec: no such file").await;
    assert_eq!((code, swept), (3, 1));

    checks_says(&site, probe, "passing", "OK c1: management healthy").await;
    let (_, _, swept, sweep) = until("c1 no agent False False 0 - HA").await;
    assert_eq!(swept, 0, "{sweep}");
    let json = site.run(&["status", "--json"]).await.ok().json();
    assert_eq!(json["hosts"][0]["seen_by"], serde_json::json!(["node1"]));
    assert_eq!(json["hosts"][0]["unprotected"], serde_json::json!([]));

    // It watches c1, and nobody told its Consul of c2 yet.
    let add = [&["host", "add", "c2"][..], &reachable, &["--bmc-password-file", "-"]].concat();
    site.run_stdin(&add, "hunter2").await.ok();
    let (code, status, _, _) = until("c2: seen by 0 of 1 HA node (node1: it has no check for it)").await;
    assert!(code == 3 && !status.contains("c1: seen by"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_token_is_never_told_that_the_tree_is_empty() {
    let site = Site::with_acl().await;
    site.run(&["init"]).await.ok();
    site.run(&["host", "add", "node1"]).await.ok();
    let before = site.tree().await;
    let nothing = site.agent.token("nothing", "").await;
    for args in [&["status"][..], &["host", "list"], &["incident", "list"], &["host", "add", "node2"]] {
        site.run_with(Some(&nothing), args, "").await.refused("ha_cluster/meta");
    }
    site.run_with(Some(&nothing), &["init"], "").await.refused("initialise");
    site.run_with(Some("00000000-0000-4000-8000-000000000001"), &["status"], "").await.refused("Consul");
    let reader = r#"key_prefix "ha_cluster/" { policy = "read" }"#;
    let reader = site.agent.token("reader", reader).await;
    site.run_with(Some(&reader), &["host", "add", "node2"], "").await.refused("add host node2").next("token");
    // It may read the tree but no node: what Consul says is not known, and said so.
    let json = site.run_with(Some(&reader), &["status", "--json"], "").await.json();
    assert_eq!(json["hosts"][0]["consul_says"], "cannot_tell");
    assert!(json["warnings"][0].as_str().is_some_and(|text| text.contains("agent")), "{json}");
    assert_eq!(site.tree().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_nova_name_is_in_doubt_is_unprotected_and_asks_for_a_person() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    for host in ["node1", "node2"] {
        site.run(&["host", "add", host]).await.ok();
    }
    let doubts = async |host: usize| {
        let status = site.run(&["status", "--json"]).await;
        assert_eq!(status.code, 3, "{}", status.out);
        let why: Vec<String> =
            serde_json::from_value(status.json()["hosts"][host]["unprotected"].clone()).unwrap();
        why.into_iter().filter(|why| why.contains("bound to")).collect::<Vec<_>>()
    };
    assert!(doubts(0).await.is_empty() && doubts(1).await.is_empty());
    let published = keys::host(&"node1".parse().unwrap()).runtime_config();
    site.put(&published, r#"{"version":1,"nova_host":"node2","hw_model":"Acme","of_a_newer_build":7}"#).await;
    assert!(
        doubts(0).await[0].starts_with("it publishes that Nova calls it node2, and it is bound to node1")
    );
    assert!(doubts(1).await.is_empty(), "a claim binds nobody");
    let text = site.run(&["status"]).await.out;
    assert!(text.contains("nova-ha host add node1 --replace --nova-host NAME"), "{text}");
    // Where the host is right, its name must be free.
    site.run(&["host", "add", "node1", "--replace", "--nova-host", "node2"])
        .await
        .refused("host node2 is bound");
    // Where it is wrong.
    let forget =
        ["host", "add", "node1", "--replace", "--nova-host", "node1", "--forget-published-nova-host"];
    site.run(&forget).await.ok();
    assert!(doubts(0).await.is_empty());
    let left: serde_json::Value = serde_json::from_str(&site.value(&published).await.unwrap()).unwrap();
    assert_eq!(left, serde_json::json!({"version": 1, "hw_model": "Acme", "of_a_newer_build": 7}));
    // Two bindings, written by hand.
    let names = keys::host(&"node1".parse().unwrap()).names();
    site.put(&names, r#"{"version":1,"nova_host":"NODE2"}"#).await;
    assert!(doubts(0).await[0].starts_with("bound to Nova host NODE2, as host node2"));
    assert!(doubts(1).await[0].starts_with("bound to Nova host node2, as host node1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_nobody_could_power_off_with_a_hosts_arrays_is_named() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    let uuid = "11111111-2222-4333-8444-555555555555";
    site.run(&["ha-node", "add", "ha1", "--storage", "md", "--nova-mountpoint", "/srv"]).await.ok();
    site.run(&[
        "ha-node",
        "add",
        "ha2",
        "--storage",
        "md",
        "--nova-mountpoint",
        "/srv",
        "--bmc-identity",
        uuid,
    ])
    .await
    .ok();
    site.run(&["ha-node", "add", "ha3", "--storage", "shared"]).await.ok();
    let warned = async || {
        let json = site.run(&["status", "--json"]).await.json();
        let all: Vec<String> = serde_json::from_value(json["warnings"].clone()).unwrap();
        all.into_iter().filter(|line| line.contains("--bmc-identity")).collect::<Vec<_>>()
    };
    let all = warned().await;
    assert!(all.len() == 1 && all[0].starts_with("HA node ha1: "), "{all:?}");
    site.run(&["policy", "set", "allow_unidentified_bmc", "true"]).await.ok();
    assert_eq!(warned().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_whose_filesystem_no_ha_node_would_mount_is_named_until_the_policy_names_its_type() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["host", "add", "node1"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--storage", "md", "--nova-mountpoint", "/instances"]).await.ok();
    let published = |fs_type: &str| {
        let fs = serde_json::json!({
            "uuid": "f", "fs_type": fs_type, "mountpoint": "/var/lib/nova/instances", "array": "a"
        });
        serde_json::json!({ "version": 1, "filesystems": [fs] }).to_string()
    };
    let host = keys::host(&"node1".parse().unwrap());
    let said = async |fs_type: &str| {
        site.put(&host.runtime_config(), published(fs_type)).await;
        let said = site.run(&["status"]).await;
        (said.code, said.out.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    const WHY: &str = "no HA node with storage md would mount";
    for good in ["xfs", "ext4", "ext3"] {
        assert!(!said(good).await.1.contains(WHY), "{good}");
    }
    // What an older build mounts goes on until somebody bound the host, and is said.
    let (code, first) = said("jfs").await;
    assert_eq!(code, 3, "{first}");
    assert!(first.contains("by the host's own word only (first sight): its type is jfs"), "{first}");
    assert!(first.contains("nova-ha host accept node1"), "{first}");
    let bound = r#"{"version":1,"filesystems":["jfs"],"by":"ann","at":"2026-11-30T00:00:00Z"}"#;
    site.put(&host.bound(), bound).await;
    assert!(!said("jfs").await.1.contains("its type is jfs"), "a person accepted it");
    let (code, btrfs) = said("btrfs").await;
    assert_eq!(code, 3, "{btrfs}");
    assert!(btrfs.contains(WHY), "{btrfs}");
    assert!(btrfs.contains(r#"nova-ha policy set md_filesystems '["xfs","ext4","btrfs"]'"#), "{btrfs}");
    // Nobody is told to type a host's word that is no type.
    let (_, strange) = said("x'; reboot; '").await;
    assert!(strange.contains("which is none") && !strange.contains("policy set md"), "{strange}");
    assert!(
        publish(&site.agent.client(), &"ha1".parse().unwrap(), "boot-1", Words::default()).await.unwrap()
    );
    site.run(&["policy", "set", "md_filesystems", r#"["xfs","ext4","btrfs"]"#]).await.ok();
    assert!(!said("btrfs").await.1.contains(WHY));
    // Where nobody takes arrays it does not matter.
    site.run(&["policy", "unset", "md_filesystems"]).await.ok();
    site.run(&["ha-node", "add", "ha1", "--replace", "--storage", "shared"]).await.ok();
    assert!(!said("btrfs").await.1.contains(WHY));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_has_not_said_what_it_reads_is_named_until_it_does_or_is_removed() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    for node in ["ha1", "ha2"] {
        site.run(&["ha-node", "add", node]).await.ok();
    }
    let held_back_by = async || site.run(&["status", "--json"]).await.json()["held_back_by"].clone();
    assert_eq!(held_back_by().await, serde_json::json!(["ha1", "ha2"]));
    // One run of its recover, on an HA node that nobody added, makes no key.
    let consul = site.agent.client();
    assert!(!publish(&consul, &"ha9".parse().unwrap(), "boot-1", Words::default()).await.unwrap());
    assert!(publish(&consul, &"ha1".parse().unwrap(), "boot-1", Words::default()).await.unwrap());
    let index = consul.get("ha_cluster/ha_nodes/ha1/internal/formats").await.unwrap().unwrap().modify_index;
    assert!(
        !publish(&consul, &"ha1".parse().unwrap(), "boot-1", Words::default()).await.unwrap(),
        "written once, while nothing changes"
    );
    let again = consul.get("ha_cluster/ha_nodes/ha1/internal/formats").await.unwrap().unwrap().modify_index;
    assert_eq!(index, again);
    assert_eq!(consul.keys("ha_cluster/ha_nodes/ha9/", false).await.unwrap(), Vec::<String>::new());
    assert_eq!(held_back_by().await, serde_json::json!(["ha2"]));
    let text = site.run(&["status"]).await.out;
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("HA node ha2 has not published what it reads"), "{text}");
    assert!(words.contains("nova-ha ha-node remove ha2"), "{text}");
    site.run(&["ha-node", "remove", "ha2", "--yes", "ha2"]).await.ok();
    assert_eq!(held_back_by().await, serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ha_node_that_recovers_nothing_is_named_with_why() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    let consul = site.agent.client();
    let stopped = Stopped { why: "the tree has forgotten what it took".into(), next: "look there".into() };
    assert!(
        publish(
            &consul,
            &"ha1".parse().unwrap(),
            "boot-1",
            Words { stopped: Some(stopped), ..Words::default() }
        )
        .await
        .unwrap()
    );
    let said = site.run(&["status"]).await;
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("HA node ha1 recovers nothing: the tree has forgotten what it took"),
        "{}",
        said.out
    );
    assert!(words.contains("look there"), "{}", said.out);
    assert!(publish(&consul, &"ha1".parse().unwrap(), "boot-1", Words::default()).await.unwrap());
    assert!(!site.run(&["status"]).await.out.contains("recovers nothing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_ha_nodes_root_has_not_settled_waits_for_a_person_with_one_command() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    let consul = site.agent.client();
    let remark = Remark { why: "it has no local.toml".into(), next: "on ha1: nova-ha local adopt".into() };
    let words = Words { remarks: vec![remark], ..Words::default() };
    assert!(publish(&consul, &"ha1".parse().unwrap(), "boot-1", words).await.unwrap());
    let said = site.run(&["status"]).await.waits();
    let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("WARNING HA node ha1: it has no local.toml"), "{}", said.out);
    assert!(said.out.contains("\n  next: on ha1: nova-ha local adopt\n"), "{}", said.out);
    assert!(publish(&consul, &"ha1".parse().unwrap(), "boot-1", Words::default()).await.unwrap());
    assert!(!site.run(&["status"]).await.out.contains("local.toml"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_cannot_work_is_not_written() {
    let site = Site::start().await;
    site.run(&["init"]).await.ok();
    site.run(&["ha-node", "add", "ha1"]).await.ok();
    site.run(&["host", "add", "node1"]).await.ok();
    site.run(&["policy", "set", "cooldown", "5m"]).await.ok();
    site.run(&["policy", "set", "quorum", "2"]).await.ok();
    assert_eq!(
        site.value("ha_cluster/policy").await.as_deref(),
        Some(r#"{"cooldown":"5m","quorum":2,"version":1}"#)
    );
    let before = site.tree().await;
    for (key, value, why) in [
        ("threshold", "1", "at least 2"),
        ("treshold", "4", "no such setting"),
        ("version", "2", "no such setting"),
        ("session_ttl", "1s", "at least 10s"),
        ("cooldown", "-5m", "negative"),
        ("cooldown", "soon", "cooldown"),
        ("rules", "[]", "at least one way"),
    ] {
        site.run(&["policy", "set", key, value]).await.refused(why);
    }
    assert_eq!(site.tree().await, before);
    let json = site.run(&["policy", "show", "--json"]).await.ok().json();
    assert_eq!(json["policy"]["cooldown"], "5m");
    assert_eq!(json["policy"]["threshold"], 3);
    assert_eq!(json["differs"], serde_json::json!(["cooldown", "quorum"]));
    let said = site.run(&["policy", "check"]).await;
    assert!(said.code == 1 && said.out.contains("only 1 HA nodes"), "{}", said.out);
    site.run(&["policy", "unset", "quorum"]).await.ok();
    site.run(&["policy", "check"]).await.ok();
    site.put("ha_cluster/policy", r#"{"version":1,"treshold":3}"#).await;
    site.run(&["policy", "show"]).await.refused("treshold");

    site.run(&["maintenance", "on", "node1", "--reason", "disk swap", "--by", "ann"]).await.ok();
    let json = site.run(&["host", "list", "--json"]).await.ok().json();
    assert_eq!(json["hosts"][0]["maintenance"]["reason"], "disk swap");
    site.put("ha_cluster/compute_nodes/node1/config/maintenance", "True").await;
    let again = ["maintenance", "on", "node1", "--by", "ann", "--json"];
    assert_eq!(site.run(&again).await.ok().json()["outcome"], "already_so");
    site.run(&["maintenance", "off", "node1", "--by", "ann"]).await.ok();
    assert_eq!(site.run(&["host", "list", "--json"]).await.json()["hosts"][0]["maintenance"]["on"], false);
}
