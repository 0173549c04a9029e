//! What `status` says of SSH host keys that HA nodes only saw: nobody bound them.

use super::cluster::Cluster;
use super::fault::Fault;
use crate::names::HaNodeName;
use crate::ssh::PinnedKey;
use crate::tree::machine::SshAccess;
use crate::tree::nova_names::TreeMachine;
use crate::tree::published::Published;
use crate::tree::seen_keys::SeenKeys;

/// HA nodes that the others know by a key that they only saw. (Of hosts it is among what is known at first sight.)
pub(super) fn first(cluster: &Cluster) -> Option<Fault> {
    let machines = cluster.ha_nodes.iter().cloned().map(TreeMachine::HaNode);
    let seen: Vec<String> = machines.filter_map(|machine| agreed(cluster, &machine)).collect();
    (!seen.is_empty()).then(|| Fault {
        what: format!(
            "first sight: HA nodes are known by the SSH host key that they showed first only: {}",
            seen.join("; ")
        ),
        next: Some(
            "nova-ha ha-node add NAME --replace --ssh-host-key-file FILE   (its own /etc/ssh/*.pub)".into(),
        ),
    })
}

fn agreed(cluster: &Cluster, machine: &TreeMachine) -> Option<String> {
    let (seen, published) = of(cluster, machine)?;
    let (key, nodes) = seen.agreed().filter(|_| !seen.is_in_doubt(&published))?;
    Some(format!("{} ({}, seen by {})", machine.name(), fingerprint(key), names(nodes)))
}

/// Machines of which HA nodes saw different keys, or others than they publish: one of them is somebody else, or the machine was
/// installed anew.
pub(super) fn otherwise(cluster: &Cluster) -> Vec<Fault> {
    let hosts = cluster.hosts.iter().cloned().map(TreeMachine::Host);
    let machines = hosts.chain(cluster.ha_nodes.iter().cloned().map(TreeMachine::HaNode));
    machines.filter_map(|machine| doubt(cluster, &machine)).collect()
}

fn doubt(cluster: &Cluster, machine: &TreeMachine) -> Option<Fault> {
    let (seen, published) = of(cluster, machine).filter(|(seen, published)| seen.is_in_doubt(published))?;
    let mut parts: Vec<String> =
        seen.all().map(|(key, nodes)| format!("{} saw {}", names(nodes), fingerprint(key))).collect();
    if !published.is_empty() {
        let keys: Vec<String> = published.iter().map(|line| fingerprint(line)).collect();
        parts.push(format!("it publishes {}", keys.join(", ")));
    }
    let (what, add) = match machine {
        TreeMachine::Host(_) => ("host", "host add"),
        TreeMachine::HaNode(_) => ("HA node", "ha-node add"),
    };
    let name = machine.name();
    let anew = match machine {
        TreeMachine::Host(_) if !published.is_empty() => {
            format!("; if it was installed anew: nova-ha host accept {name} --by NAME")
        }
        TreeMachine::Host(_) | TreeMachine::HaNode(_) => String::new(),
    };
    Some(Fault {
        what: format!(
            "{what} {name}: its SSH host keys are IN DOUBT, and HA nodes do not log in to it by another one than they saw: {}",
            parts.join("; ")
        ),
        next: Some(format!(
            "nova-ha {add} {name} --replace --ssh-host-key-file FILE   (its own /etc/ssh/*.pub){anew}"
        )),
    })
}

/// What was seen of a machine of which nobody bound a key, and what it publishes.
fn of(cluster: &Cluster, machine: &TreeMachine) -> Option<(SeenKeys, Vec<String>)> {
    let (tree, keys) = (&cluster.snapshot, machine.keys());
    let is_bound = SshAccess::of(tree, &keys).is_ok_and(|access| !access.host_keys.is_empty());
    let published = Published::of(tree, &keys).ssh_host_keys().unwrap_or_default();
    let seen = SeenKeys::of(tree, &keys);
    (!is_bound && !seen.is_empty()).then_some((seen, published))
}

/// As ssh-keygen shows it.
pub(super) fn fingerprint(line: &str) -> String {
    PinnedKey::parse(line).map_or_else(|_| line.to_owned(), |key| key.fingerprint().to_string())
}

/// HA nodes, for people.
pub(super) fn names(nodes: &[HaNodeName]) -> String {
    nodes.iter().map(HaNodeName::as_str).collect::<Vec<_>>().join(", ")
}
