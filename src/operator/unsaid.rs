//! What HA nodes run and read at first sight, of those that have not said themselves what their root allows: they run an older
//! build, or their token has a policy of one and may not say it. What the tree names is run there all the same.

use super::cluster::Cluster;
use super::fault::Fault;
use super::leave::own_name;
use crate::local::{self, Local};
use crate::named::Named;
use crate::names::HaNodeName;
use crate::tree::nova_names::TreeMachine;

/// Named of one HA node; the rest is counted.
const MOST_NAMED: usize = 3;

/// One for each such HA node.
pub(super) fn first_sights(cluster: &Cluster) -> Vec<Fault> {
    let unsaid = cluster.formats().behind().into_iter().filter(|behind| behind.build.is_none());
    unsaid.filter_map(|behind| of(cluster, &behind.node)).collect()
}

fn of(cluster: &Cluster, node: &HaNodeName) -> Option<Fault> {
    let hosts = cluster.hosts.iter().cloned().map(TreeMachine::Host);
    let machines = hosts.chain(cluster.ha_nodes.iter().cloned().map(TreeMachine::HaNode));
    let named = Named::of_ha_node(&cluster.snapshot, node, machines);
    // Only this machine's own file can be looked at from here.
    let local = match node.as_str() == own_name() {
        true => Local::read(&local::file()),
        false => Local::unseen(),
    };
    let asked: Vec<String> = named.first_sights(&local).map(|(asked, _)| asked.to_string()).collect();
    let more = asked.len().saturating_sub(MOST_NAMED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    let some = asked.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    (!asked.is_empty()).then(|| Fault {
        what: format!(
            "first sight: HA node {node} has not said what its root allows, and goes on with what the tree names: {some}{more}"
        ),
        next: Some(format!(
            "on {node}, as root: nova-ha local adopt   (and with a policy of this release, nova-ha generate acl, its \
             nova-ha-recover says so)"
        )),
    })
}
