//! Whether a host and the HA node that has its storage may swap their roles: who they are, and each
//! reason why not.

use super::records::Swap;
use crate::keys;
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::operator::OperatorError;
use crate::operator::cluster::{Catalog, Cluster, ConsulSays};
use crate::operator::error::tree;
use crate::operator::reset::Standing;
use crate::tree::TreeError;
use crate::tree::machine::{OtherNames, Targets, has_agent};
use crate::tree::published::Published;

/// What was found of both.
pub(super) struct Ground {
    pub(super) swap: Swap,
    pub(super) standing: Standing,
    /// What says that the host has nothing of the storage.
    pub(super) storage_is_away: String,
}

/// Refuses what must not be swapped now; nothing is changed by it.
pub(super) async fn of(
    cluster: &Cluster,
    host: &HostName,
    catalog: &Catalog,
    is_said_away: bool,
    doing: &str,
) -> Result<Ground, OperatorError> {
    let standing = Standing::of(cluster, host, catalog).await.map_err(tree(doing))?;
    let not_now = |name: &str, why: String, next: String| OperatorError::NotNow {
        name: name.to_owned(),
        doing: "swapped",
        why,
        next: Some(next),
    };
    if let Some(id) = standing.open {
        return Err(OperatorError::OpenIncident { host: host.clone(), id, doing: "swapped" });
    }
    let ha_node = match standing.with_storage.as_slice() {
        [one] => one.clone(),
        [] => {
            let why = "no HA node has its storage: there is nothing to swap for".to_owned();
            return Err(not_now(host.as_str(), why, format!("nova-ha rejoin {host} --by NAME")));
        }
        several => {
            let names: Vec<String> = several.iter().map(ToString::to_string).collect();
            let why = format!("several HA nodes may have its storage: {}", names.join(", "));
            return Err(not_now(host.as_str(), why, format!("nova-ha ha-node show {}", names.join(" | "))));
        }
    };
    let Some(incident) = taken_in(cluster, &ha_node, &standing).map_err(tree(doing))? else {
        let why = format!("what HA node {ha_node} is in use for is not the last incident of {host}");
        return Err(not_now(host.as_str(), why, format!("nova-ha ha-node show {ha_node}")));
    };
    if let Err(why) = &standing.is_healthy {
        let why = format!("{why}; it cannot be an HA node like this");
        return Err(not_now(host.as_str(), why, format!("repair it first: nova-ha host show {host}")));
    }
    if !has_agent(&cluster.snapshot, &keys::host(host)).map_err(tree(doing))? {
        let why = "it runs no Consul agent, which starts everything on an HA node".to_owned();
        let next = format!("install one, then: nova-ha host add {host} --replace --agent consul");
        return Err(not_now(host.as_str(), why, next));
    }
    lives(cluster, catalog, &ha_node)
        .map_err(tree(doing))?
        .map_err(|why| not_now(ha_node.as_str(), why, format!("nova-ha ha-node show {ha_node}")))?;
    if let Some(id) = held_by(cluster, &ha_node).map_err(tree(doing))? {
        let why = format!("it holds incident {id}, which is open");
        return Err(not_now(ha_node.as_str(), why, format!("nova-ha incident show {id}")));
    }
    let swap = Swap::of(incident, host.clone(), ha_node).map_err(|source| OperatorError::Name { source })?;
    if let Some(node) = sends_guests_to(cluster, &swap).map_err(tree(doing))? {
        let why = format!(
            "HA node {node} names it or {} among the hosts that it sends guests to (config/targets)",
            swap.ha_node
        );
        let next = format!("nova-ha ha-node add {node} --replace --targets ...");
        return Err(not_now(host.as_str(), why, next));
    }
    let storage_is_away = match away(cluster, host, is_said_away).map_err(tree(doing))? {
        Ok(says) => says,
        Err((why, next)) => return Err(not_now(host.as_str(), why, next)),
    };
    Ok(Ground { swap, standing, storage_is_away })
}

/// The incident that the HA node is in use for, if it is the one that the host's epoch had.
fn taken_in(
    cluster: &Cluster,
    ha_node: &HaNodeName,
    standing: &Standing,
) -> Result<Option<IncidentId>, TreeError> {
    let held = cluster.snapshot.text(&keys::ha_node(ha_node).in_use_by())?;
    Ok(standing.ended.clone().filter(|ended| held.as_deref() == Some(ended.to_string().as_str())))
}

/// The HA node becomes a host: one that is dead would be taken for dead at once.
fn lives(cluster: &Cluster, catalog: &Catalog, node: &HaNodeName) -> Result<Result<(), String>, TreeError> {
    let says = catalog.says(&cluster.snapshot, &keys::ha_node(node), node.as_str())?;
    Ok(match says {
        ConsulSays::Passing => Ok(()),
        ConsulSays::Critical => Err("its serfHealth is critical".to_owned()),
        ConsulSays::Absent => Err("its Consul agent is not in the catalog".to_owned()),
        ConsulSays::NoAgent => Err("it runs no Consul agent: nobody can tell whether it lives".to_owned()),
        ConsulSays::CannotTell => Err("Consul cannot tell whether its agent lives".to_owned()),
    })
}

/// An open incident that it works on. One that cannot be read may be it.
fn held_by(cluster: &Cluster, node: &HaNodeName) -> Result<Option<IncidentId>, TreeError> {
    for id in &cluster.incidents {
        let record = cluster.record(id)?;
        if !record.status.is_over() && record.holder.as_ref() == Some(node) {
            return Ok(Some(id.clone()));
        }
    }
    Ok(None)
}

/// An HA node whose targets name one of the two. They are refused, and not rewritten: whoever chose
/// them chose a spare, or a host that is no spare, and only a person knows which one is meant now.
fn sends_guests_to(cluster: &Cluster, swap: &Swap) -> Result<Option<HaNodeName>, TreeError> {
    let tree = &cluster.snapshot;
    let mut names = vec![swap.host.to_string(), swap.ha_node.to_string()];
    for keys in [keys::host(&swap.host), keys::ha_node(&swap.ha_node)] {
        let other: Option<OtherNames> = tree.record(&keys.names())?;
        names.extend(other.and_then(|names| names.nova_host));
    }
    for node in &cluster.ha_nodes {
        if let Targets::Hosts { hosts } = Targets::of(tree, &keys::ha_node(node))?
            && hosts.iter().any(|host| names.contains(host))
        {
            return Ok(Some(node.clone()));
        }
    }
    Ok(None)
}

/// What says that the host has nothing of its former storage assembled or mounted, or why nothing does.
///
/// Its boot guard publishes, through `nova-ha-runtime-info`, whether it let this boot's storage start.
/// That counts if it was written after the claim of its recovery, by Consul's order of all writes: what
/// it published before it died says nothing about now.
fn away(
    cluster: &Cluster,
    host: &HostName,
    is_said: bool,
) -> Result<Result<String, (String, String)>, TreeError> {
    let (tree, keys) = (&cluster.snapshot, keys::host(host));
    let published = match tree.get(&keys.runtime_config()) {
        Some(entry) => Some((Published::of(tree, &keys).disks()?, entry.modify_index)),
        None => None,
    };
    let since = tree.get(&keys.recovered()).map(|entry| entry.modify_index);
    let started =
        published.and_then(|(config, index)| since.filter(|since| index > *since).and(config.boot_guard));
    Ok(match (started, is_said) {
        (Some(false), _) => Ok("its boot guard has kept its former storage from it".to_owned()),
        (Some(true), _) => Err((
            "its boot guard let its former storage start in this boot".to_owned(),
            format!("power it off and on, so that it is kept from it; then nova-ha-runtime-info on {host}"),
        )),
        (None, true) => Ok("a person says that it has nothing of its former storage".to_owned()),
        (None, false) => Err((
            "nothing that it published since its recovery says that it has nothing of its former storage"
                .to_owned(),
            format!(
                "on {host}: nova-ha-runtime-info   (where it has no boot guard for its storage, look \
                 yourself: mdadm --detail --scan; findmnt; then --storage-is-not-there)"
            ),
        )),
    })
}
