//! Each key of the tree, each generated token, read and write, as a real Consul answers: compared with docs/tokens.md.
//!
//! After a change that is meant: `NOVA_HA_WRITE_TOKENS=1 cargo test --test cli`, and read the difference as whoever has
//! that token would.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::site::Site;
use crate::support::all_keys::{OF_THE_SITE, of_incident, of_machine};
use nova_ha::consul::Consul;
use nova_ha::keys;
use nova_ha::store::{Op, Store, StoreError, TxnOutcome};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// A column for each policy: its name there, and the generated file.
const TOKENS: [(&str, &str); 10] = [
    ("viewer", "viewer"),
    ("on-call", "on-call"),
    ("mark-failed", "mark-failed"),
    ("probe", "probe-ha1"),
    ("recover", "recover-ha1"),
    ("runtime-info", "runtime-info-node1"),
    ("boot-guard", "boot-guard-node1"),
    ("agent, host", "agent-node1"),
    ("agent, HA node", "agent-ha1"),
    ("operator", "operator"),
];

/// All keys, as docs/tokens.md calls them and as they are here.
fn all_keys() -> Vec<(String, String)> {
    let own_names = |key: String| {
        let short = key.strip_prefix(keys::ROOT).unwrap().to_owned();
        let short = short.replace("node10", "{another-host}").replace("node1", "{host}");
        let short = short.replace("ha2", "{another-ha-node}").replace("ha1", "{ha-node}");
        (short, key)
    };
    let mut all: Vec<String> = OF_THE_SITE.iter().map(|(_, key)| (*key).to_owned()).collect();
    for id in ["node1@0", "node10@0"] {
        all.extend(of_incident(&keys::incident(&id.parse().unwrap())).into_iter().map(|(_, key)| key));
    }
    for host in ["node1", "node10"] {
        all.extend(of_machine(&keys::host(&host.parse().unwrap())).into_iter().map(|(_, key)| key));
    }
    for node in ["ha1", "ha2"] {
        all.extend(of_machine(&keys::ha_node(&node.parse().unwrap())).into_iter().map(|(_, key)| key));
    }
    all.into_iter().map(own_names).collect()
}

async fn reads(consul: &Consul, key: &str) -> bool {
    match consul.get(key).await {
        Ok(_) => true,
        Err(StoreError::Denied { .. }) => false,
        Err(other) => panic!("{key}: {other}"),
    }
}

async fn writes(consul: &Consul, key: &str) -> bool {
    match consul.transact(&[Op::Set(key.to_owned(), b"0".to_vec())]).await {
        Ok(TxnOutcome::Committed(_)) => true,
        Err(StoreError::Denied { .. }) => false,
        other => panic!("{key}: {other:?}"),
    }
}

/// The table, with a line for each key.
async fn matrix(site: &Site, policies: &Path) -> String {
    let mut clients = Vec::new();
    for (_, file) in TOKENS {
        let rules = std::fs::read_to_string(policies.join(format!("nova-ha-{file}.hcl"))).unwrap();
        clients.push(site.agent.client_with_token(&site.agent.token(file, &rules).await));
    }
    let names = TOKENS.map(|(name, _)| name).join(" | ");
    let mut lines = vec![format!("| key | {names} |"), format!("|---|{}", "---|".repeat(TOKENS.len()))];
    for (name, key) in all_keys() {
        let mut cells = Vec::new();
        for consul in &clients {
            cells.push(match (reads(consul, &key).await, writes(consul, &key).await) {
                (true, true) => "rw",
                (true, false) => "r",
                (false, true) => "w",
                (false, false) => "",
            });
        }
        lines.push(format!("| `{name}` | {} |", cells.join(" | ")));
    }
    lines.join("\n") + "\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn each_token_may_with_each_key_what_the_table_says() {
    let site = Site::with_acl().await;
    site.run(&["init"]).await.ok();
    for node in ["ha1", "ha2"] {
        site.run(&["ha-node", "add", node]).await.ok();
    }
    for host in ["node1", "node10"] {
        site.run(&["host", "add", host]).await.ok();
    }
    // Of ha2 the host key is bound, of ha1 not.
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIR1IHyLjqK1rqBEr0rjCJm4gPRzDBqqmIIf8bF8YxNl";
    site.put(&keys::ha_node(&"ha2".parse().unwrap()).ssh_field("host_key"), key).await;
    let out = tempfile::tempdir().unwrap();
    site.run(&["generate", "acl", "--out", out.path().to_str().unwrap()]).await.ok();
    let found = matrix(&site, out.path()).await;

    let document = Path::new(ROOT).join("docs/tokens.md");
    let text = std::fs::read_to_string(&document).unwrap();
    let (before, known) = text.split_at(text.find("| key |").unwrap());
    if std::env::var_os("NOVA_HA_WRITE_TOKENS").is_some() {
        std::fs::write(&document, format!("{before}{found}")).unwrap();
        return;
    }
    let known: BTreeSet<&str> = known.lines().collect();
    let differs: Vec<&str> = found.lines().filter(|line| !known.contains(line)).collect();
    assert!(differs.is_empty(), "docs/tokens.md says otherwise of:\n{}", differs.join("\n"));
    assert_eq!(known.len(), found.lines().count(), "docs/tokens.md has keys that there are not");
}

/// A key that is added to `src/keys.rs` is missing here until somebody says who may read and write it.
#[test]
fn the_table_has_every_key_that_the_product_knows() {
    let source = std::fs::read_to_string(Path::new(ROOT).join("src/keys.rs")).unwrap();
    let source = source.split("#[cfg(test)]").next().unwrap();
    let known: BTreeSet<&str> = of_machine(&keys::host(&"h".parse().unwrap()))
        .into_iter()
        .chain(of_incident(&keys::incident(&"h@0".parse().unwrap())))
        .map(|(name, _)| name)
        .collect();
    // Folders, and what makes the keys of a machine or an incident.
    let others = [
        "host",
        "ha_node",
        "all",
        "status",
        "internal",
        "config",
        "observers",
        "bmc",
        "ssh",
        "plans",
        "journal",
    ];
    let others: BTreeSet<&str> = others
        .into_iter()
        .chain([
            "guests",
            "preflights",
            "all_gone",
            "all_settled",
            "all_device_off",
            "words",
            "tried",
            "may_open",
            "is_shown_right",
            "opened_of",
            "word_of",
            "host_of",
            "ha_node_of",
            "incident_of",
        ])
        .chain(["incident"])
        .collect();
    let functions: BTreeMap<&str, &str> = source
        .lines()
        .filter_map(|line| {
            line.trim().strip_prefix("pub fn ").map(|rest| (rest.split('(').next().unwrap(), line))
        })
        .collect();
    let roots = ["ROOT", "HOSTS", "HA_NODES", "INCIDENTS", "OPENED", "ORDERS", "WORDS"];
    let constants = source.lines().filter_map(|line| line.strip_prefix("pub const ")?.split(':').next());
    let unknown: Vec<&str> = constants
        .filter(|name| !roots.contains(name) && !OF_THE_SITE.iter().any(|(known, _)| known == name))
        .collect();
    assert!(unknown.is_empty(), "nobody says which token may read and write: {unknown:?}");
    let missing: Vec<&str> =
        functions.keys().filter(|name| !known.contains(*name) && !others.contains(*name)).copied().collect();
    assert!(missing.is_empty(), "nobody says which token may read and write: {missing:?}");
    assert!(functions.len() > 50, "{functions:?}");
}
