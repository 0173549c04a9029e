//! `nova-ha policy`: what an operator may decide. The tree holds only what differs from the
//! defaults in code.

use clap::Subcommand;
use serde::Serialize;
use serde_json::{Map, Value};

use super::OperatorError;
use super::answer::{Answer, Outcome, code, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::error::{held_back, tree};
use super::policy_explain;
use super::policy_values::{object, plain};
use super::table::Table;
use super::weak_points::weak_points;
use crate::columns::wrap;
use crate::keys;
use crate::policy::{Policy, since};
use crate::store::{Op, Store};
use crate::tree::TreeError;
use crate::tree::formats::Kind;

/// What can be done with the policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// All settings that are in force; * marks those that differ from the default.
    Show,
    /// Change one setting.
    Set {
        /// Its name, as `policy show` prints it.
        key: String,
        /// Its value: a number, a duration (10s, 15m), true, false, or JSON.
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Go back to the default of one setting.
    Unset {
        /// Its name.
        key: String,
    },
    /// What a setting, or each, is for, with its default and the values it takes.
    Explain {
        /// Its name; by default all.
        key: Option<String>,
    },
    /// Whether the policy can work, alone and with the machines in the tree.
    Check,
}

/// Runs one of them.
pub async fn run(command: PolicyCommand, store: &dyn Store) -> Result<Answer, OperatorError> {
    match command {
        PolicyCommand::Show => show(store).await,
        PolicyCommand::Set { key, value } => change(store, &key, Some(&value)).await,
        PolicyCommand::Unset { key } => change(store, &key, None).await,
        PolicyCommand::Explain { key } => policy_explain::run(key.as_deref()),
        PolicyCommand::Check => check(store).await,
    }
}

async fn show(store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Shown {
        policy: Map<String, Value>,
        differs: Vec<String>,
    }
    let doing = "show the policy";
    let cluster = Cluster::read(store, doing).await?;
    let policy = object(&Policy::of(&cluster.snapshot).map_err(tree(doing))?)?;
    let differing = differing(&policy)?;
    let mut table = Table::new(["", "SETTING", "VALUE"]);
    for (key, value) in policy.iter().filter(|(key, _)| *key != "version") {
        let mark = if differing.contains_key(key) { "*" } else { " " };
        table.row([mark.to_owned(), key.clone(), plain(value)]);
    }
    let text = format!("{}* differs from the default\n", table.text(0));
    let differs = differing.keys().filter(|key| *key != "version").cloned().collect();
    Answer::new(text, &Shown { policy, differs })
}

async fn change(store: &dyn Store, key: &str, value: Option<&str>) -> Result<Answer, OperatorError> {
    let action = if value.is_some() { "policy set" } else { "policy unset" };
    let doing = format!("change the policy's {key}");
    let cluster = Cluster::read(store, &doing).await?;
    let seen = cluster.snapshot.get(keys::POLICY);
    // A policy that cannot work may be repaired here; one that cannot be read may not.
    let before: Policy = cluster.snapshot.record(keys::POLICY).map_err(tree(&doing))?.unwrap_or_default();
    let mut map = object(&before)?;
    let defaults = object(&Policy::default())?;
    let default = defaults.get(key).filter(|_| key != "version").ok_or_else(|| OperatorError::Input {
        option: key.to_owned(),
        why: "there is no such setting; nova-ha policy show lists all".into(),
    })?;
    let wanted = match value {
        // What is no JSON is a text: durations need no quotes.
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned())),
        None => default.clone(),
    };
    map.insert(key.to_owned(), wanted);
    let after: Policy = serde_json::from_value(Value::Object(map))
        .map_err(|error| OperatorError::Input { option: key.to_owned(), why: error.to_string() })?;
    let faults = after.faults();
    if !faults.is_empty() {
        return Err(OperatorError::Policy { faults });
    }
    let shown = object(&after)?.get(key).map(plain).unwrap_or_default();
    if after == before {
        return done(Outcome::AlreadySo, action, key, format!("{key}: already so, {shown}"));
    }
    if value.is_some() {
        cluster.formats().allows(Kind::Policy, since(key)).map_err(held_back(&doing))?;
    }
    let stored = serde_json::to_vec(&differing(&object(&after)?)?)
        .map_err(|source| OperatorError::Render { source })?;
    let ops = [cluster.meta_unchanged(), Op::replace(keys::POLICY, stored, seen)];
    commit(store, &doing, &ops).await?;
    let mut text = format!("{key}: {shown}");
    if matches!(key, "probe_interval" | "probe_deadline" | "threshold" | "rules") {
        text += "\nthe checks carry it: nova-ha generate consul-config, then reload the agents";
    }
    done(Outcome::Changed, action, key, text)
}

async fn check(store: &dyn Store) -> Result<Answer, OperatorError> {
    #[derive(Serialize)]
    struct Checked {
        faults: Vec<String>,
        /// What works, and promises less than one may think.
        weak_points: Vec<String>,
    }
    let doing = "check the policy";
    let cluster = Cluster::read(store, doing).await?;
    let policy: Policy = match cluster.snapshot.record(keys::POLICY) {
        Ok(policy) => policy.unwrap_or_default(),
        Err(error @ TreeError::Newer { .. }) => return Err(tree(doing)(error)),
        Err(error) => {
            let faults = vec![error.to_string()];
            return Ok(Answer::new(faults.join("\n"), &Checked { faults, weak_points: Vec::new() })?
                .with_code(code(true, false)));
        }
    };
    let mut faults = policy.faults();
    faults.extend(against_the_tree(&policy, &cluster));
    let text = match faults.is_empty() {
        true => "the policy can work\n".to_owned(),
        false => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    };
    let weak_points = weak_points(&policy, cluster.ha_nodes.len(), cluster.hosts.len());
    let text = weak_points.iter().fold(text, |text, point| format!("{text}\nNOTE  {}\n", wrap(point, 6)));
    let faulty = !faults.is_empty();
    Ok(Answer::new(text, &Checked { faults, weak_points })?.with_code(code(faulty, false)))
}

/// What cannot work with the machines that are there.
fn against_the_tree(policy: &Policy, cluster: &Cluster) -> Vec<String> {
    let mut faults = Vec::new();
    let nodes = cluster.ha_nodes.len();
    if let Some(quorum) = policy.quorum.filter(|quorum| *quorum > nodes) {
        faults.push(format!("quorum: {quorum} votes are needed, only {nodes} HA nodes are configured"));
    }
    for anchor in &policy.anchors {
        let whole = anchor
            .rsplit_once(':')
            .is_some_and(|(address, port)| !address.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0));
        if !whole {
            faults.push(format!("anchors: {anchor:?} is not ADDRESS:PORT"));
        }
    }
    for domain in &policy.domains {
        for host in domain.hosts.iter().filter(|h| !cluster.hosts.iter().any(|known| known.as_str() == *h)) {
            faults.push(format!("domains: {} names {host}, which is not in the tree", domain.name));
        }
    }
    faults
}

/// What is stored: what differs, and the lowest version that has all of it.
fn differing(policy: &Map<String, Value>) -> Result<Map<String, Value>, OperatorError> {
    let defaults = object(&Policy::default())?;
    let mut differing: Map<String, Value> = policy
        .iter()
        .filter(|(key, value)| *key != VERSION && defaults.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    let version = differing.keys().map(|key| since(key)).fold(Kind::Policy.baseline(), u64::max);
    differing.insert(VERSION.to_owned(), version.into());
    Ok(differing)
}

const VERSION: &str = "version";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_json_that_can_be_broken_and_typed_in_again() {
        let rules = serde_json::json!([{"planes": ["a, b", "c:d"], "agent_must_be_critical": true}]);
        let shown = plain(&rules);
        assert_eq!(shown, r#"[{"agent_must_be_critical": true, "planes": ["a, b", "c:d"]}]"#);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), rules);
    }

    #[test]
    fn only_what_differs_is_stored() {
        let policy = Policy { threshold: 5, ..Policy::default() };
        let stored = differing(&object(&policy).unwrap()).unwrap();
        assert_eq!(serde_json::to_string(&stored).unwrap(), r#"{"threshold":5,"version":1}"#);
    }
}
