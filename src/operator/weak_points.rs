//! What a policy promises less than one may think, with the machines in the tree: `status` and `policy check` say it.

use std::collections::BTreeSet;

use crate::policy::Policy;

/// Each in one sentence or two, with what would help.
pub(super) fn weak_points(policy: &Policy, ha_nodes: usize, hosts: usize) -> Vec<String> {
    let mut points = Vec::new();
    points.extend(one_network(policy));
    let quorum = policy.quorum_of(ha_nodes);
    if ha_nodes > 0 && quorum > ha_nodes - 1 {
        points.push(format!(
            "the loss of one HA node leaves no quorum: {} needed, {} configured; nova-ha ha-node add NAME, three are \
             what we recommend",
            number(quorum, "vote is", "votes are"),
            number(ha_nodes, "HA node is", "HA nodes are"),
        ));
    }
    let limits = policy.storm_limits_for(ha_nodes, hosts);
    if limits.by_all < 2 && hosts > 1 {
        points.push(format!(
            "of two hosts that fail within one hour none is marked while both fail (limit {}, {} and \
             {hosts} hosts): a person decides. By itself that takes at least three HA nodes and four hosts, or policy \
             storm_limit",
            limits.by_all,
            number(ha_nodes, "HA node", "HA nodes"),
        ));
    }
    points
}

fn number(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Consul's gossip goes over the network of the hosts' management too, so it is no second opinion.
fn one_network(policy: &Policy) -> Option<String> {
    let planes: BTreeSet<&str> = policy
        .rules
        .iter()
        .filter_map(|rule| match rule.planes.as_slice() {
            [plane] => Some(plane.as_str()),
            _ => None,
        })
        .collect();
    let planes: Vec<&str> = planes.into_iter().collect();
    let which = match planes.as_slice() {
        [] => return None,
        several => several.join(" or by "),
    };
    Some(format!(
        "a host is dead by plane {which} alone: hosts behind one dead switch look dead, and up to the storm limit are \
         powered off while their guests run. A rule with a second plane (storage, the guests' network) tells the two apart: \
         nova-ha policy set rules"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Rule;

    fn points(policy: &Policy, ha_nodes: usize, hosts: usize) -> String {
        weak_points(policy, ha_nodes, hosts).join("\n")
    }

    fn rules(planes: &[&[&str]]) -> Policy {
        let rule = |planes: &&[&str]| Rule {
            planes: planes.iter().map(|plane| (*plane).to_owned()).collect(),
            agent_must_be_critical: true,
        };
        Policy { rules: planes.iter().map(rule).collect(), ..Policy::default() }
    }

    #[test]
    fn a_rule_that_rests_on_one_network_is_said_until_each_names_a_second_plane() {
        let said = |policy: &Policy| points(policy, 3, 20).contains("is dead by plane");
        assert!(said(&Policy::default()));
        assert!(said(&rules(&[&["management"], &["storage"]])), "any of them alone says dead");
        assert!(!said(&rules(&[&["management", "storage"]])));
        // One rule that a single plane meets is enough to be shot by.
        assert!(said(&rules(&[&["management", "storage"], &["management"]])));
    }

    #[test]
    fn the_loss_of_one_ha_node_is_said_where_it_leaves_no_quorum() {
        let said = |policy: &Policy, ha_nodes| points(policy, ha_nodes, 20).contains("loss of one HA node");
        assert_eq!([0, 1, 2, 3, 5].map(|n| said(&Policy::default(), n)), [false, true, true, false, false]);
        assert!(said(&Policy { quorum: Some(3), ..Policy::default() }, 3));
    }

    #[test]
    fn two_hosts_at_once_are_said_to_wait_for_a_person_where_they_do() {
        let said = |policy: &Policy, ha_nodes, hosts| {
            points(policy, ha_nodes, hosts).contains("two hosts that fail")
        };
        let default = Policy::default();
        assert!(said(&default, 3, 3) && said(&default, 2, 4) && said(&default, 1, 500));
        assert!(!said(&default, 3, 4) && !said(&default, 2, 20) && !said(&default, 3, 1));
        assert!(!said(&Policy { storm_limit: Some(2), ..Policy::default() }, 3, 3));
    }
}
