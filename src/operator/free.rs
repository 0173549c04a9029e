//! `nova-ha ha-node free NAME`: an HA node that the original, or a person, left marked as in use is free again.
//!
//! Only for a word that no incident of ours explains: what ours keeps in use, `reset` of its host frees.

use clap::Args;

use super::OperatorError;
use super::answer::{Answer, Outcome, done};
use super::cluster::Cluster;
use super::commit::commit;
use super::confirm::confirm;
use super::error::tree;
use super::person::{person, quoted};
use crate::keys;
use crate::names::{HaNodeName, IncidentId};
use crate::store::{Op, Store};
use crate::tree::flag;

/// `nova-ha ha-node free`.
#[derive(Debug, Args)]
pub struct FreeArgs {
    /// The HA node.
    pub name: String,
    /// Who says so.
    #[arg(long)]
    pub by: String,
    /// The HA node's name, instead of typing it when asked.
    #[arg(long, value_name = "HA_NODE")]
    pub yes: Option<String>,
}

/// Frees one.
///
/// # Errors
/// It is in use for an incident of ours; it was not confirmed; or Consul did not take it.
pub(super) async fn run(args: FreeArgs, store: &dyn Store) -> Result<Answer, OperatorError> {
    let by = person(&args.by)?;
    let doing = format!("free HA node {}", args.name);
    let cluster = Cluster::read(store, &doing).await?;
    let node = cluster.ha_node(&args.name)?;
    let keys = keys::ha_node(&node);
    let snapshot = &cluster.snapshot;
    let held_for = snapshot.text(&keys.in_use_by()).map_err(tree(&doing))?;
    if held_for.is_none() && !snapshot.flag(&keys.in_use()).map_err(tree(&doing))? {
        let text = format!("{node}: already so, it is not in use");
        return done(Outcome::AlreadySo, "ha-node free", node.as_str(), text);
    }
    not_ours(&cluster, &node, held_for.as_deref(), &doing)?;
    confirm(
        node.as_str(),
        args.yes.as_deref(),
        &format!(
            "No recovery by the original, or by anybody else, runs on {node} any more, and no disk of a host is mounted \
             there: {node} may be given the next incident."
        ),
        &format!("nova-ha ha-node free {node} --by {}", quoted(&args.by)),
    )?;
    let mut ops = vec![
        cluster.meta_unchanged(),
        Op::replace(keys.in_use(), flag::text(false), snapshot.get(&keys.in_use())),
    ];
    ops.push(match snapshot.get(&keys.in_use_by()) {
        Some(entry) => Op::DeleteCas(entry.key.clone(), entry.modify_index),
        // A claim that came meanwhile is ours.
        None => Op::CheckAbsent(keys.in_use_by()),
    });
    commit(store, &doing, &ops).await?;
    done(Outcome::Changed, "ha-node free", node.as_str(), format!("{node}: not in use any more, by {by}"))
}

/// Refuses what an incident of ours explains, with the command that ends it. One of a host that is in the tree no more
/// explains nothing, once it has ended.
fn not_ours(
    cluster: &Cluster,
    node: &HaNodeName,
    held_for: Option<&str>,
    doing: &str,
) -> Result<(), OperatorError> {
    let Some(id) = held_for.and_then(|text| text.parse::<IncidentId>().ok()) else { return Ok(()) };
    let is_open = cluster.open_incident(id.host()).map_err(tree(doing))?.is_some_and(|open| open == id);
    let next = match (is_open, cluster.hosts.contains(id.host())) {
        (true, _) => format!("nova-ha incident show {id}"),
        (false, true) => format!("nova-ha reset {} --by NAME", id.host()),
        (false, false) => return Ok(()),
    };
    Err(OperatorError::NotNow {
        name: node.to_string(),
        doing: "freed",
        why: format!("it is in use for our incident {id}, which ends it"),
        next: Some(next),
    })
}
