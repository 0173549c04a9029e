//! Who may vote on a machine, and how many votes it takes.

use std::collections::BTreeMap;

use super::scene::Observer;
use crate::names::HaNodeName;
use crate::policy::Policy;

/// Who may vote on a machine: all configured HA nodes, but never the machine on itself.
pub fn electors<'a>(
    observers: &'a BTreeMap<HaNodeName, Observer>,
    subject_name: &str,
) -> Vec<(&'a HaNodeName, &'a Observer)> {
    observers.iter().filter(|(name, _)| !name.is_one_with(subject_name)).collect()
}

/// Votes needed among so many electors. Where several may vote, one is never a quorum, whatever
/// the policy says: an observer alone has rules of its own.
pub(crate) fn votes_needed(policy: &Policy, electors: usize) -> usize {
    policy.quorum_of(electors).max(electors.min(2)).max(1)
}
