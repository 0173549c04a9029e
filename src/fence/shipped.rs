//! The fence agents that are power switches, and what a power switch needs to be told: nobody's leave is asked for those.
//!
//! `agents.txt` is made by `agents.py` from what each agent of Debian's fence-agents says of itself: where it is, who logs in,
//! which plug, how long to wait. What is run, read or written on the HA node is in none of it. It is no part of
//! [`crate::local`], which a probe has too: nothing that could power a machine off is linked into that.

use crate::local::agents::listed;

const TABLE: &str = include_str!("agents.txt");

/// Whether this agent is in the table.
pub(super) fn is_shipped(agent: &str) -> bool {
    options_of(agent).is_some()
}

/// Whether the table lets the tree say this option to this agent.
pub(super) fn is_shipped_option(agent: &str, option: &str) -> bool {
    let option = listed(option);
    options_of(agent).is_some_and(|mut options| options.any(|known| known == option))
}

fn options_of(agent: &str) -> Option<impl Iterator<Item = &'static str>> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    let found = rows.filter_map(|row| row.split_once(':')).find(|(name, _)| *name == agent);
    found.map(|(_, options)| options.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::agents::{may_be_set, name};

    #[test]
    fn the_table_holds_nothing_that_is_run_read_or_written_on_the_ha_node() {
        let mut agents = 0;
        for row in TABLE.lines().filter(|line| !line.starts_with('#')) {
            let (agent, options) = row.split_once(':').unwrap();
            name(agent).unwrap();
            agents += 1;
            for option in options.split_whitespace() {
                may_be_set(option).unwrap_or_else(|why| panic!("{agent}: {why}"));
                assert!(
                    !["cacert", "kubeconfig", "openrc", "devices", "missing_as_off", "verbose"]
                        .contains(&option),
                    "{agent} {option}"
                );
            }
        }
        assert_eq!(agents, 74, "fence-agents 4.12 of Debian 12");
    }

    #[test]
    fn what_a_power_switch_needs_is_in_the_table_and_by_agent() {
        for (agent, option) in [
            ("fence_ipmilan", "ip"),
            ("fence_ipmilan", "lanplus"),
            ("fence_apc", "switch"),
            ("fence_apc_snmp", "snmp-priv-passwd"),
            ("fence_azure_arm", "resourceGroup"),
            ("fence_ilo", "tls1.0"),
        ] {
            assert!(is_shipped_option(agent, option), "{agent} {option}");
            may_be_set(option).unwrap();
        }
        assert!(!is_shipped_option("fence_ipmilan", "switch"), "it is another agent's");
        assert!(!is_shipped_option("fence_virsh", "missing_as_off"));
        for no in ["fence_kdump", "fence_evacuate", "fence_crosslink", "fence_dummy", "fence_custom"] {
            assert!(!is_shipped(no), "{no}");
        }
    }
}
