//! A tree written by the original os_nova_ha_monitor 1.1.15 itself (its `config.py` under Python
//! 2.7 against Consul 1.8.7, then `consul kv export ha_cluster/`) is read unchanged.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests may panic too"
)]

use base64::Engine;
use nova_ha::keys;
use nova_ha::store::Entry;
use nova_ha::tree::Snapshot;
use nova_ha::tree::machine::SshAccess;
use nova_ha::tree::runtime_config::RuntimeConfig;

fn tree() -> Snapshot {
    let text = include_str!("data/original-1.1.15-tree.json");
    let exported: Vec<serde_json::Value> = serde_json::from_str(text).unwrap();
    assert_eq!(exported.len(), 38);
    let mut snapshot = Snapshot::default();
    snapshot.extend(exported.iter().zip(1..).map(|(entry, modify_index)| Entry {
        key: entry["key"].as_str().unwrap().to_owned(),
        value: base64::engine::general_purpose::STANDARD.decode(entry["value"].as_str().unwrap()).unwrap(),
        modify_index,
        session: None,
    }));
    snapshot
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
