//! What each of the two has afterwards.

use super::*;
use crate::operator::cluster::Cluster;
use crate::store::MAX_OPS;
use crate::tree::meta::Meta;

const META: &str = r#"{"version":1,"generation":"g","created_at":"2026-01-01T00:00:00Z"}"#;

/// Configured in full, as `nova-ha` itself would do it.
const MACHINE: [(&str, &str); 13] = [
    ("general", "rack 4"),
    ("config/bmc/ip", "10.0.2.1"),
    ("config/bmc/port", "623"),
    ("config/bmc/user", "ha"),
    ("config/bmc/password", "Swordfish7"),
    ("config/bmc/identity", "SN-1"),
    ("config/bmc/cipher", "3"),
    ("config/ssh/user", "probe"),
    ("config/ssh/private_key", "file:/key"),
    ("config/ssh/address", "10.0.1.1"),
    ("config/ssh/host_key", "ssh-ed25519 AAAA"),
    ("config/names", r#"{"version":1,"nova_host":"c-1"}"#),
    ("config/maintenance", "False"),
];

const BOUND: &str = r#"{"version":1,"system_uuid":"u1","arrays":{"a":{"level":"raid10","homehost":"compute1","places":[]}},
    "by":"ann","at":"2026-01-01T00:00:00Z"}"#;

const ROLE_OF_HA1: [(&str, &str); 6] = [
    ("config/os_cloud", "prod"),
    ("config/storage", "md"),
    ("config/nova_mountpoint", "/var/lib/nova/instances"),
    ("config/storage_exec", "/usr/local/sbin/take"),
    ("config/nova_user", "nova"),
    ("config/targets", r#"{"mode":"this_ha_node"}"#),
];

fn swap() -> Swap {
    Swap::of("compute1@4".parse().unwrap(), "compute1".parse().unwrap(), "ha1".parse().unwrap()).unwrap()
}

fn entry(key: &str, value: &str, modify_index: u64) -> Entry {
    Entry { key: key.into(), value: value.into(), modify_index, session: None }
}

fn cluster() -> Cluster {
    let swap = swap();
    let [host, node] = swap.before().map(|keys| keys.all());
    let mut pairs = vec![("ha_cluster/meta".to_owned(), META.to_owned())];
    let mut put =
        |root: &str, rest: &str, value: &str| pairs.push((format!("{root}{rest}"), value.to_owned()));
    for root in [&host, &node] {
        for (rest, value) in MACHINE {
            put(root, rest, &value.replace("-1", if *root == host { "-1" } else { "-9" }));
        }
        put(root, "internal/observers/ha2", "a vote");
    }
    for (rest, value) in ROLE_OF_HA1 {
        put(&node, rest, value);
    }
    put(&node, "status/in_use", "True");
    put(&node, "internal/in_use_by", "compute1@4");
    put(&node, "internal/epoch", "2");
    put(&host, "status/failed", "True");
    put(&host, "status/recovered", "True");
    put(&host, "internal/epoch", "4");
    put(&host, "config/bound", BOUND);
    let published = r#"{"version":1,"system_uuid":"u1","md_arrays":{"a":{}},"boot_guard":false,
        "nova_host":"of-its-own","hypervisor_hostname":"of-its-own"}"#;
    put(&host, "internal/runtime_config", published);
    let mut snapshot = Snapshot::default();
    snapshot.extend(pairs.iter().enumerate().map(|(i, (key, value))| entry(key, value, i as u64 + 1)));
    Cluster {
        meta: Meta::of(&snapshot).unwrap(),
        snapshot,
        hosts: vec![swap.host],
        ha_nodes: vec![swap.ha_node],
        incidents: ["compute1@4", "ha1@6", "ha10@9"].map(|id| id.parse().unwrap()).into(),
        nova_names: Default::default(),
        claims: Default::default(),
        strays: Vec::new(),
        hidden: BTreeSet::new(),
    }
}

fn written(cluster: &Cluster) -> BTreeMap<String, String> {
    let ops = swap().transaction(cluster, "ann", jiff::Timestamp::UNIX_EPOCH).unwrap();
    assert!(ops.len() <= MAX_OPS, "{}", ops.len());
    ops.into_iter()
        .filter_map(|op| match op {
            Op::Cas(key, value, 0) => Some((key, String::from_utf8(value).unwrap())),
            _ => None,
        })
        .collect()
}

#[test]
fn a_machine_keeps_what_is_its_own_and_gets_the_others_role() {
    let written = written(&cluster());
    let is = |key: &str| written.get(&format!("ha_cluster/{key}")).map(String::as_str);
    // The former HA node.
    assert_eq!(is("compute_nodes/ha1/config/bmc/identity"), Some("SN-9"));
    assert_eq!(is("compute_nodes/ha1/config/bmc/password"), Some("Swordfish7"));
    assert_eq!(is("compute_nodes/ha1/config/names"), Some(r#"{"version":1,"nova_host":"c-9"}"#));
    assert_eq!(is("compute_nodes/ha1/status/failed"), Some("False"));
    assert_eq!(is("compute_nodes/ha1/status/recovered"), Some("False"));
    assert_eq!(is("compute_nodes/ha1/general"), Some("rack 4"));
    // Above its own last incident, of when it was a host before.
    assert_eq!(is("compute_nodes/ha1/internal/epoch"), Some("7"));
    // The repaired host.
    assert_eq!(is("ha_nodes/compute1/config/bmc/identity"), Some("SN-1"));
    assert_eq!(is("ha_nodes/compute1/config/ssh/private_key"), Some("file:/key"));
    assert_eq!(is("ha_nodes/compute1/status/in_use"), Some("False"));
    assert_eq!(is("ha_nodes/compute1/internal/epoch"), Some("5"));
    for (rest, value) in ROLE_OF_HA1 {
        assert_eq!(is(&format!("ha_nodes/compute1/{rest}")), Some(value), "{rest}");
        assert_eq!(is(&format!("compute_nodes/ha1/{rest}")), None, "{rest}");
    }
    // Who it is is known of it, and none of the arrays that it had.
    let published = is("ha_nodes/compute1/internal/runtime_config").unwrap();
    assert!(
        published.contains(r#""system_uuid":"u1""#) && published.contains(r#""md_arrays":{}"#),
        "{published}"
    );
    assert!(published.contains(r#""boot_guard":null"#), "{published}");
    // What Nova calls it is what an operator wrote, and stays.
    assert!(!published.contains("of-its-own"), "{published}");
    assert_eq!(is("ha_nodes/compute1/config/names"), Some(r#"{"version":1,"nova_host":"c-1"}"#));
    assert_eq!(is("compute_nodes/ha1/internal/runtime_config"), Some("{}"));
    let votes: Vec<&String> = written.keys().filter(|key| key.contains("observers")).collect();
    assert!(votes.is_empty() && !written.contains_key("ha_cluster/ha_nodes/compute1/internal/in_use_by"));
}

#[test]
fn who_a_machine_is_stays_bound_to_it_and_the_arrays_to_the_role() {
    let written = written(&cluster());
    let bound = |key: &str| -> Bound {
        let text = written.get(&format!("ha_cluster/{key}/config/bound")).unwrap();
        serde_json::from_str(text).unwrap()
    };
    let (new_host, new_node) = (bound("compute_nodes/ha1"), bound("ha_nodes/compute1"));
    assert_eq!(new_node.system_uuid.as_deref(), Some("u1"));
    assert!(new_node.arrays.is_empty());
    assert_eq!(new_host.system_uuid, None, "nobody bound who the former HA node is");
    assert_eq!(new_host.arrays.keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn what_it_was_decided_on_is_compared_and_both_old_records_go() {
    let cluster = cluster();
    let ops = swap().transaction(&cluster, "ann", jiff::Timestamp::UNIX_EPOCH).unwrap();
    for key in [
        "ha_cluster/meta",
        "ha_cluster/compute_nodes/compute1/status/failed",
        "ha_cluster/compute_nodes/compute1/status/recovered",
        "ha_cluster/compute_nodes/compute1/internal/epoch",
        "ha_cluster/compute_nodes/compute1/internal/runtime_config",
        "ha_cluster/ha_nodes/ha1/status/in_use",
        "ha_cluster/ha_nodes/ha1/internal/in_use_by",
    ] {
        let index = cluster.snapshot.get(key).unwrap().modify_index;
        assert!(ops.contains(&Op::CheckIndex(key.into(), index)), "{key}");
    }
    for root in ["ha_cluster/compute_nodes/compute1/", "ha_cluster/ha_nodes/ha1/"] {
        let at = |wanted: &Op| ops.iter().position(|op| op == wanted).unwrap();
        assert!(at(&Op::GetTree(root.into())) < at(&Op::DeleteTree(root.into())), "{root}");
    }
}

#[test]
fn what_somebody_changes_in_the_last_moment_is_carried_over_too() {
    let (swap, cluster) = (swap(), cluster());
    let now: Vec<Entry> = cluster.snapshot.all().cloned().collect();
    assert_eq!(swap.late(&cluster, &now), []);
    let mut later = now.clone();
    later.retain(|entry| entry.key != "ha_cluster/ha_nodes/ha1/config/ssh/address");
    for entry in &mut later {
        let is = |key: &str| entry.key.ends_with(key);
        if is("compute1/config/bmc/password") || is("compute1/internal/observers/ha2") {
            entry.value = b"changed".to_vec();
            entry.modify_index = 999;
        }
    }
    later.push(entry("ha_cluster/ha_nodes/ha1/config/fence", "levels", 998));
    let mut late = swap.late(&cluster, &later);
    late.sort_by(|a, b| a.key().cmp(b.key()));
    assert_eq!(
        late,
        [
            Op::Set("ha_cluster/compute_nodes/ha1/config/fence".into(), b"levels".to_vec()),
            Op::Delete("ha_cluster/compute_nodes/ha1/config/ssh/address".into()),
            Op::Set("ha_cluster/ha_nodes/compute1/config/bmc/password".into(), b"changed".to_vec()),
        ]
    );
}
