//! Who writes each key and who reads it: the table of docs/reference.md, and what keeps it true.

use std::collections::{BTreeMap, BTreeSet};

use nova_ha::keys;

use crate::all_keys::{OF_THE_SITE, of_incident, of_machine};
use crate::file;

/// The function or constant of `src/keys.rs`, who writes the key, and who reads it: executables without their
/// `nova-ha-`, and `nova-ha` for people's commands. *agent* is a Consul watch; *people* read with Consul's own tools.
const WHO: &[(&str, &str, &str)] = &[
    ("META", "nova-ha", "probe, mark-failed, recover, runtime-info, boot-guard, nova-ha"),
    ("INCIDENTS_SENTINEL", "nova-ha", "mark-failed, recover, nova-ha"),
    ("POLICY", "nova-ha", "mark-failed, recover, nova-ha"),
    ("COOLDOWN", "mark-failed, nova-ha", "mark-failed, recover, nova-ha"),
    ("RECOVERY_QUEUE", "mark-failed, recover, nova-ha", "agent, mark-failed, recover, nova-ha"),
    ("MACHINES_ADDED", "nova-ha", "nova-ha"),
    ("general", "nova-ha", "probe, mark-failed, recover, runtime-info, boot-guard, nova-ha"),
    ("failed", "mark-failed, nova-ha", "mark-failed, recover, boot-guard, nova-ha"),
    ("recovered", "recover, nova-ha", "mark-failed, recover, nova-ha"),
    ("in_use", "recover, nova-ha", "mark-failed, recover, nova-ha"),
    ("in_use_by", "recover, nova-ha", "mark-failed, recover, nova-ha"),
    ("number_fails", "probe, nova-ha", "probe, nova-ha"),
    ("boot_guard", "boot-guard", "recover, nova-ha"),
    ("returning", "nova-ha", "boot-guard, recover, nova-ha"),
    (
        "runtime_config",
        "runtime-info, nova-ha",
        "probe, mark-failed, recover, runtime-info, boot-guard, nova-ha",
    ),
    ("formats", "recover", "mark-failed, recover, nova-ha"),
    ("epoch", "nova-ha", "probe, mark-failed, recover, boot-guard, nova-ha"),
    ("observer", "probe, nova-ha", "probe, mark-failed, recover, nova-ha"),
    ("fence", "nova-ha", "recover, nova-ha"),
    ("maintenance", "nova-ha", "mark-failed, recover, nova-ha"),
    ("names", "nova-ha", "mark-failed, recover, runtime-info, nova-ha"),
    ("bound", "nova-ha", "mark-failed, recover, nova-ha"),
    ("agent", "nova-ha", "mark-failed, recover, nova-ha"),
    ("os_cloud", "nova-ha", "recover, nova-ha"),
    ("nova_mountpoint", "nova-ha", "recover, nova-ha"),
    ("storage", "nova-ha", "recover, nova-ha"),
    ("storage_exec", "nova-ha", "recover, nova-ha"),
    ("nova_user", "nova-ha", "recover, nova-ha"),
    ("targets", "nova-ha", "recover, nova-ha"),
    ("bmc_field", "nova-ha", "recover, nova-ha"),
    ("ssh_field", "nova-ha", "probe, mark-failed, recover, nova-ha"),
    ("incident", "recover, nova-ha", "mark-failed, recover, boot-guard, nova-ha"),
    ("evidence", "recover", "nova-ha"),
    ("lock", "recover", "mark-failed, recover, nova-ha"),
    ("term", "recover", "recover, nova-ha"),
    ("plan", "recover", "people"),
    ("journal_entry", "recover, nova-ha", "mark-failed, recover, nova-ha"),
    ("guest", "recover", "mark-failed, recover, nova-ha"),
    ("preflight", "recover", "mark-failed, nova-ha"),
    ("ask", "recover", "recover"),
    ("gone", "recover", "recover, nova-ha"),
    ("guests_seen", "recover", "mark-failed, recover, nova-ha"),
    ("devices", "recover", "recover, nova-ha"),
    ("reset", "nova-ha", "nova-ha"),
    ("kdump", "recover", "recover"),
    ("swap", "nova-ha", "nova-ha"),
    ("confirm_off_within", "nova-ha", "recover, nova-ha"),
    ("opened", "mark-failed, recover", "mark-failed, recover, boot-guard, nova-ha"),
    ("order", "mark-failed --by, recover", "recover, nova-ha"),
    ("hold", "nova-ha, recover", "recover, nova-ha"),
    ("resume", "nova-ha, recover", "recover, nova-ha"),
    ("retry", "nova-ha, recover", "recover, nova-ha"),
    ("confirm_off", "nova-ha, recover", "recover, nova-ha"),
    ("device_off", "nova-ha, recover", "recover, nova-ha"),
    ("settled", "nova-ha", "recover, nova-ha"),
];

/// Whose key it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Site,
    Machine,
    Incident,
}

/// Each key once: the name in `src/keys.rs`, whose it is, and how the page writes it.
fn all() -> Vec<(&'static str, Of, String)> {
    let host = "node1".parse().unwrap();
    let machine = keys::host(&host);
    let short = |key: &str| key.strip_prefix(keys::ROOT).unwrap().to_owned();
    let mut all: Vec<(&'static str, Of, String)> =
        OF_THE_SITE.iter().map(|(name, key)| (*name, Of::Site, short(key))).collect();
    for (name, key) in of_machine(&machine) {
        let key =
            key.strip_prefix(&machine.all()).unwrap().replace("ha1", "{ha-node}").replace("ha2", "{ha-node}");
        let (folder, _) = key.rsplit_once('/').unwrap_or(("", ""));
        let key = if name.ends_with("_field") { format!("{folder}/{{field}}") } else { key };
        all.push((name, Of::Machine, key));
    }
    for (name, key) in of_incident(&keys::incident(&"node1@0".parse().unwrap())) {
        let key =
            short(&key).replace("node1@0", "{id}").replace("ha1", "{ha-node}").replace("GUEST", "{server}");
        let key = key.replace("00000001", "{sequence}").replace("plan/001", "plan/{chunk}");
        all.push((name, Of::Incident, key));
    }
    all.dedup();
    all
}

/// What the comment of each function and constant of `src/keys.rs` says.
fn comments() -> BTreeMap<String, String> {
    let mut comments = BTreeMap::new();
    let mut said: Vec<String> = Vec::new();
    for line in file("src/keys.rs").split("#[cfg(test)]").next().unwrap().lines().map(str::trim) {
        if let Some(text) = line.strip_prefix("///") {
            said.push(text.trim().to_owned());
            continue;
        }
        let name = line.strip_prefix("pub fn ").and_then(|rest| rest.split('(').next());
        let name = name.or_else(|| line.strip_prefix("pub const ").and_then(|rest| rest.split(':').next()));
        if let Some(name) = name.filter(|_| !said.is_empty()) {
            comments.insert(name.to_owned(), meaning(&said.join(" ")));
        }
        said.clear();
    }
    comments
}

/// A comment without the key that it begins with, as a sentence.
fn meaning(comment: &str) -> String {
    let text = match comment.strip_prefix('`').and_then(|rest| rest.split_once('`')) {
        Some((_, rest)) => match rest.split_once(": ") {
            Some((of, text)) if of.trim().is_empty() => text.to_owned(),
            Some((of, text)) => format!("{}: {text}", of.trim().trim_matches(['(', ')'])),
            None => comment.to_owned(),
        },
        None => comment.to_owned(),
    };
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// The tables.
pub(crate) fn tables() -> String {
    let (comments, all) = (comments(), all());
    let mut text = String::new();
    for (of, heading) in [
        (Of::Site, "### Of the site"),
        (Of::Machine, "### Of a machine\n\nBelow `compute_nodes/{host}/` or `ha_nodes/{ha-node}/`."),
        (Of::Incident, "### Of an incident\n\n`{id}` is `HOST@EPOCH`."),
    ] {
        text += &format!("{heading}\n\n| key | holds | written by | read by |\n|---|---|---|---|\n");
        for (name, _, key) in all.iter().filter(|(_, other, _)| *other == of) {
            let (_, writes, reads) =
                WHO.iter().find(|(known, ..)| known == name).unwrap_or_else(|| panic!("who writes {name}?"));
            let about = comments.get(*name).unwrap_or_else(|| panic!("src/keys.rs says nothing of {name}"));
            text += &format!("| `{key}` | {about} | {writes} | {reads} |\n");
        }
        text += "\n";
    }
    text
}

/// The columns of docs/tokens.md of whoever is named in [`WHO`].
fn columns(who: &str) -> &'static [&'static str] {
    match who {
        "probe" => &["probe"],
        "mark-failed" => &["mark-failed"],
        "recover" => &["recover"],
        "runtime-info" => &["runtime-info"],
        "boot-guard" => &["boot-guard"],
        "agent" => &["agent, HA node"],
        // A person's command runs by a person's token.
        "nova-ha" | "people" | "mark-failed --by" => &["operator", "on-call", "viewer"],
        other => panic!("who is {other}?"),
    }
}

/// By key and column, the rights in docs/tokens.md, which a real Consul is asked for (token_matrix.rs).
fn rights() -> BTreeMap<(String, String), String> {
    let text = file("docs/tokens.md");
    let mut rows = text.lines().filter(|line| line.starts_with("| "));
    let cells = |line: &str| -> Vec<String> {
        line.trim()
            .trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let heads = cells(rows.next().unwrap());
    let mut rights = BTreeMap::new();
    for row in rows.map(cells) {
        for (head, cell) in heads.iter().zip(&row).skip(1) {
            rights.insert((row[0].clone(), head.clone()), cell.clone());
        }
    }
    rights
}

#[test]
fn whoever_writes_or_reads_a_key_has_the_right_to() {
    let rights = rights();
    for (name, of, key) in all() {
        let places: Vec<String> = match of {
            Of::Site => vec![key],
            Of::Incident => {
                let key = key.replace("{sequence}", "00000001").replace("{chunk}", "001");
                vec![key.replace("{id}", "{host}@0").replace("{server}", "GUEST")]
            }
            Of::Machine => {
                let field = if key.starts_with("config/ssh") { "address" } else { "ip" };
                let key = key.replace("{field}", field);
                ["compute_nodes/{host}", "ha_nodes/{ha-node}", "ha_nodes/{another-ha-node}"]
                    .map(|machine| format!("{machine}/{key}"))
                    .into()
            }
        };
        let (_, writes, reads) = WHO.iter().find(|(known, ..)| *known == name).unwrap();
        for (who, right) in [(writes, 'w'), (reads, 'r')] {
            for who in who.split(", ") {
                let may = places.iter().any(|place| {
                    columns(who).iter().any(|column| {
                        let cell = rights.get(&(place.clone(), (*column).to_owned()));
                        cell.unwrap_or_else(|| panic!("docs/tokens.md has no {place}")).contains(right)
                    })
                });
                assert!(may, "{who} has no right {right} on {places:?}");
            }
        }
    }
}

#[test]
fn each_key_has_one_row() {
    let known: BTreeSet<&str> = WHO.iter().map(|(name, ..)| *name).collect();
    let there: BTreeSet<&str> = all().iter().map(|(name, ..)| *name).collect();
    assert_eq!(known, there);
    assert_eq!(known.len(), WHO.len());
}
