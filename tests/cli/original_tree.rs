//! A tree written by the original os_nova_ha_monitor 1.1.15 itself (its `config.py` under Python
//! 2.7 against Consul 1.8.7, then `consul kv export ha_cluster/`) is read unchanged.

use crate::site::{Said, Site};
#[allow(dead_code, reason = "each test file uses its part")]
use base64::Engine;
use nova_ha::keys;
use nova_ha::store::{Entry, Op};
use nova_ha::tree::Snapshot;
use nova_ha::tree::machine::SshAccess;
use nova_ha::tree::runtime_config::RuntimeConfig;

fn tree() -> Snapshot {
    let text = include_str!("../data/original-1.1.15-tree.json");
    let exported: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    assert_eq!(exported.len(), 38);
    let decode = |text: &str| base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let entry = |(entry, modify_index): (&serde_json::Value, u64)| Entry {
        key: entry["key"].as_str().unwrap().to_owned(),
        value: decode(entry["value"].as_str().unwrap()),
        modify_index,
        session: None,
    };
    let mut snapshot = Snapshot::default();
    snapshot.extend(exported.iter().zip(1..).map(entry));
    snapshot
}

/// A site of ours over the original's tree.
async fn imported() -> Site {
    let site = Site::start().await;
    let entries: Vec<Op> =
        tree().all().map(|entry| Op::Set(entry.key.clone(), entry.value.clone())).collect();
    site.write(&entries).await;
    site.run(&["init"]).await.ok();
    site
}

/// All that a sweep says, and how it ends.
async fn sweep(site: &Site) -> (String, i32) {
    let run_dir = tempfile::tempdir().unwrap();
    let mut sweep = assert_cmd::Command::cargo_bin("nova-ha-mark-failed").unwrap();
    sweep
        .env_clear()
        .env("CONSUL_HTTP_ADDR", format!("127.0.0.1:{}", site.agent.port))
        .env("NOVA_HA_RUN_DIR", run_dir.path())
        .args(["--sweep", "--ha-node", "node1"]);
    let output = tokio::task::spawn_blocking(move || sweep.output().unwrap()).await.unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code().unwrap())
}

/// The commands that hints name about these machines, each once, ready to be run by ann.
fn commands(said: &str, about: &[&str]) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for hint in said.lines().filter_map(|line| line.trim().strip_prefix("next: ")) {
        let Some(at) = hint.find("nova-ha ") else { continue };
        let command = hint[at..].split("   ").next().unwrap();
        let mut words: Vec<String> =
            command.split_whitespace().skip(1).map(|word| word.replace("NAME", "ann")).collect();
        let Some(name) = words.iter().find(|word| about.contains(&word.as_str())).cloned() else { continue };
        if matches!(words[0].as_str(), "reset" | "ha-node") && !words.contains(&"add".to_owned()) {
            words.extend(["--yes".to_owned(), name]);
            if !found.contains(&words) {
                found.push(words);
            }
        }
    }
    found
}

async fn type_it(site: &Site, words: &[String]) -> Said {
    site.run(&words.iter().map(String::as_str).collect::<Vec<_>>()).await
}

#[test]
fn every_value_of_the_original_is_read_unchanged() {
    let tree = tree();
    for (name, failed, fails) in
        [("compute1.example.org", true, 4), ("compute2", false, 0), ("compute10", false, 1)]
    {
        let keys = keys::host(&name.parse().unwrap());
        assert_eq!(tree.flag(&keys.failed()).unwrap(), failed, "{name}");
        assert_eq!(tree.flag(&keys.recovered()).unwrap(), failed, "{name}");
        assert_eq!(tree.number::<u64>(&keys.number_fails()).unwrap(), Some(fails), "{name}");
        assert!(tree.get(&keys.general()).is_some(), "{name} is known");
        assert_eq!(tree.text(&keys.bmc_field("user")).unwrap().as_deref(), Some("test"));
        assert_eq!(tree.text(&keys.bmc_field("password")).unwrap().as_deref(), Some("Test123."));
        assert_eq!(tree.text(&keys.bmc_field("ip")).unwrap(), None, "the original writes '' for not set");
        let ssh = SshAccess::of(&tree, &keys).unwrap();
        assert_eq!(
            (ssh.user.as_deref(), ssh.password.as_deref(), ssh.port),
            (Some("test"), Some("Test123."), 22)
        );
        assert!(ssh.address.is_none() && ssh.private_key.is_none() && ssh.host_keys.is_empty());
        let entry = tree.get(&keys.runtime_config()).unwrap();
        let config = RuntimeConfig::parse(&entry.key, &entry.value).unwrap();
        assert_eq!(config.version, 0);
        if failed {
            assert_eq!(config.hw_model.as_deref(), Some("Dell Inc."));
            assert_eq!(config.time.unwrap().datetime, "2019-04-02 12:00:00");
            let array = &config.md_arrays["9c4b2d0e:1a2b3c4d:5e6f7081:92a3b4c5"];
            assert_eq!((&array["level"], &array["num_devices"]), (&"raid10".into(), &"4".into()));
            assert_eq!(array["devices"]["3600140512340003"]["type"], "scsi");
            assert_eq!(array["devices"].as_object().unwrap().len(), 4);
        } else {
            assert_eq!(config, RuntimeConfig::default(), "{{}}: nothing published yet");
        }
    }
    for (name, in_use) in [("ha1", true), ("ha2", false)] {
        let keys = keys::ha_node(&name.parse().unwrap());
        assert_eq!(tree.flag(&keys.in_use()).unwrap(), in_use);
        assert_eq!(tree.text(&keys.os_cloud()).unwrap().as_deref(), Some("cloud_v3_api"));
        assert_eq!(tree.text(&keys.nova_mountpoint()).unwrap().as_deref(), Some("/var/lib/nova/instances"));
    }
}

#[test]
fn one_host_is_not_its_namesake() {
    let tree = tree();
    let keys = keys::host(&"compute1".parse().unwrap());
    assert_eq!(tree.below(&keys.all()).count(), 0, "compute10 and compute1.example.org are others");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hint_about_what_the_original_left_names_a_command_that_works() {
    let site = imported().await;
    let (in_use, recovered) = (
        "HA node ha1 is in use, and for no incident of ours",
        "status/recovered of compute1.example.org is True, and it has no incident of ours",
    );
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let status = site.run(&["status"]).await.waits();
    let (swept, code) = sweep(&site).await;
    assert_eq!(code, 1, "{swept}");
    for said in [&status.out, &swept] {
        assert!(words(said).contains(in_use) && words(said).contains(recovered), "{said}");
    }
    let removed = site.run(&["ha-node", "remove", "ha1", "--yes", "ha1"]).await.refused("ha1 is in use");
    let host = "compute1.example.org";
    let reset = ["reset", host, "--by", "ann", "--maintenance", "--yes", host];
    let early = site.run(&reset).await.refused("no incident of ours recovered it");

    // Every place that reports it names a way out of it.
    let about = ["ha1", host];
    let free = ["ha-node", "free", "ha1", "--by", "ann", "--yes", "ha1"].map(String::from).to_vec();
    for said in [&status.out, &swept, &removed.err, &early.err] {
        assert!(commands(said, &about).contains(&free), "{said}");
    }
    // All of them are typed as they stand; what one refuses, its own hint leads on from.
    let mut walk: Vec<Vec<String>> = [&status.out, &swept, &removed.err, &early.err]
        .iter()
        .flat_map(|said| commands(said, &about))
        .collect();
    let mut typed = 0;
    while let Some(words) = walk.pop() {
        typed += 1;
        assert!(typed < 20, "the hints go round: {words:?}");
        let said = type_it(&site, &words).await;
        if said.code != 0 {
            let on: Vec<_> = commands(&said.err, &about).into_iter().filter(|next| *next != words).collect();
            assert!(!on.is_empty(), "{words:?} is refused without a way on: {}", said.err);
            walk.extend(on);
        }
    }
    let keys = keys::host(&host.parse().unwrap());
    for key in [keys.failed(), keys.recovered(), keys::ha_node(&"ha1".parse().unwrap()).in_use()] {
        assert_eq!(site.value(&key).await.as_deref(), Some("False"), "{key}");
    }
    let status = site.run(&["status"]).await;
    assert!(!words(&status.out).contains("no incident of ours"), "{}", status.out);
    site.run(&["ha-node", "remove", "ha1", "--yes", "ha1"]).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_incident_of_ours_keeps_in_use_is_freed_by_its_reset_only() {
    let site = imported().await;
    let id = crate::open_incident::open(&site, "compute2@0").await;
    let ha2 = keys::ha_node(&"ha2".parse().unwrap());
    site.put(&ha2.in_use(), "True").await;
    site.put(&ha2.in_use_by(), id.to_string()).await;
    let free = ["ha-node", "free", "ha2", "--by", "ann", "--yes", "ha2"];
    site.run(&free)
        .await
        .refused("it is in use for our incident compute2@0")
        .next("nova-ha incident show compute2@0");
    // `recovered` of an incident that nobody of ours has claimed.
    site.put(&keys::host(id.host()).recovered(), "True").await;
    let status = site.run(&["status"]).await;
    let words = status.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("no HA node of ours has claimed compute2@0"), "{}", status.out);
    site.run(&["incident", "hold", "compute2@0", "--reason", "look", "--by", "ann"]).await.ok();
    site.run(&["incident", "abandon", "compute2@0", "--by", "ann", "--yes", "compute2"]).await.ok();
    site.run(&free).await.refused("in use for our incident").next("nova-ha reset compute2 --by NAME");
    site.run(&["host", "remove", "compute2", "--yes", "compute2"])
        .await
        .refused("HA node ha2 is in use for its incident compute2@0")
        .next("nova-ha reset compute2 --maintenance --by NAME");
    site.run(&["reset", "compute2", "--maintenance", "--by", "ann", "--yes", "compute2"]).await.ok();
    assert_eq!(site.value(&ha2.in_use()).await.as_deref(), Some("False"));
}
