//! Before a host is given back: each machine that held its incident is through with it.
//!
//! One that stood still in the middle of it, its process stopped or its virtual machine paused, may do one thing more when
//! it goes on: power off a host that is in service again.

use std::collections::BTreeMap;

use clap::Args;
use jiff::{Timestamp, Unit};
use tokio::time::Instant;

use super::OperatorError;
use super::cluster::Cluster;
use super::error::tree;
use crate::incident::journal::JournalEntry;
use crate::incident::through::{Holding, Through, awaited, holdings};
use crate::keys;
use crate::names::{HaNodeName, HostName, IncidentId, NameError};
use crate::store::Store;
use crate::tree::formats::Kind;
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// Of commands that give a host back.
#[derive(Debug, Args, Clone, Default)]
pub struct GoneArgs {
    /// An HA node that held the incident, and of which you have seen that no process of it works on that any
    /// more: it is off, or installed anew. May be given several times.
    #[arg(long = "gone", value_name = "HA_NODE")]
    pub gone: Vec<HaNodeName>,
}

fn of(snapshot: &Snapshot, id: &IncidentId) -> Result<Vec<Holding>, TreeError> {
    let keys = keys::incident(id);
    let mut journal: Vec<JournalEntry> = Vec::new();
    for entry in snapshot.below(&keys.journal()) {
        journal.push(parse(&entry.key, &entry.value)?);
    }
    let mut said: BTreeMap<HaNodeName, Through> = BTreeMap::new();
    for entry in snapshot.below(&keys.all_gone()) {
        let malformed =
            |error: NameError| TreeError::Malformed { key: entry.key.clone(), why: error.to_string() };
        let name = entry.key.strip_prefix(&keys.all_gone()).unwrap_or_default();
        said.insert(name.parse().map_err(malformed)?, parse(&entry.key, &entry.value)?);
    }
    let no_name = |error: NameError| TreeError::Malformed { key: keys.journal(), why: error.to_string() };
    Ok(awaited(holdings(&journal).map_err(no_name)?, &said))
}

/// A host that is to be given back.
pub(super) struct Return<'a> {
    pub(super) host: &'a HostName,
    /// The incident that its present epoch had.
    pub(super) id: &'a IncidentId,
    /// HA nodes of which a person says that they are through.
    pub(super) gone: &'a [HaNodeName],
    /// What it cannot be before: *reset*, *rejoined*.
    pub(super) doing: &'static str,
    /// The command that gives it back, to which what is said of an HA node is added.
    pub(super) command: &'a str,
    /// Since when it is waited.
    pub(super) since: Instant,
}

/// Refuses while a machine that held the incident has not said that it is through: it may pass within a minute.
pub(super) async fn all_are_through(
    cluster: &Cluster,
    back: &Return<'_>,
    store: &dyn Store,
) -> Result<(), OperatorError> {
    let doing = format!("see who is through with {}", back.id);
    let keys = keys::incident(back.id);
    let prefixes = [keys.journal(), keys.all_gone()];
    let snapshot = Snapshot::read(store, "the incident", &prefixes).await.map_err(tree(&doing))?;
    let mut left = of(&snapshot, back.id).map_err(tree(&doing))?;
    left.retain(|held| !back.gone.contains(&held.node));
    match left.as_slice() {
        [] => Ok(()),
        [first, ..] => Err(refusal(cluster, back, &first.node, &left)),
    }
}

/// For whom it is waited, since when and why; and what to do.
fn refusal(cluster: &Cluster, back: &Return<'_>, first: &HaNodeName, left: &[Holding]) -> OperatorError {
    let formats = cluster.formats();
    let each: Vec<String> = left
        .iter()
        .map(|held| {
            let why = match formats.reads(&held.node, Kind::Through) {
                0 => "; it runs an older nova-ha or is no HA node any more, and cannot say so",
                _ => "",
            };
            format!("HA node {} (it took the incident at {}{why})", held.node, to_the_second(held.since))
        })
        .collect();
    let why = format!(
        "waiting since {} s for {} to say that no process there works on {} any more: one that stood still may power {} \
         off when it goes on",
        back.since.elapsed().as_secs(),
        each.join(" and "),
        back.id,
        back.host
    );
    let gone: Vec<String> = left.iter().map(|held| format!(" --gone {}", held.node)).collect();
    let next = format!(
        "nova-ha-recover on {first} says it (each minute: systemctl status nova-ha-recover.timer); if {first} is off, \
         installed anew or of an older build: see that no nova-ha-recover runs there, then {}{}",
        back.command,
        gone.concat()
    );
    OperatorError::NotNow { name: back.host.to_string(), doing: back.doing, why, next: Some(next) }
}

fn to_the_second(at: Timestamp) -> Timestamp {
    at.round(Unit::Second).unwrap_or(at)
}
