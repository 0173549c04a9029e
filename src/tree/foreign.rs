//! Flags that no incident of ours explains: the original's recovery, or a person, wrote them.
//!
//! The original writes `in_use` and `recovered` True and nothing beside them. Ours writes `internal/in_use_by` with the
//! first, and the second in the claim of an incident. So what is there without these is another's: it stops us where it
//! is, is said with the command that ends it, and is never taken for a recovery of ours.

use super::{Snapshot, TreeError};
use crate::keys::{self, MachineKeys};
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::store::Store;

/// One such flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// `in_use` of an HA node.
    InUse {
        /// Whose.
        node: HaNodeName,
    },
    /// `in_use` of an HA node, written after a host was marked: the original may be about to recover that host there.
    InUseSince {
        /// Whose.
        node: HaNodeName,
        /// Marked before it.
        host: HostName,
    },
    /// `recovered` of a host that has no incident of ours in its present epoch.
    Recovered {
        /// Whose.
        host: HostName,
    },
    /// `recovered` of a host whose incident of ours is open, and was never claimed.
    RecoveredUnclaimed {
        /// Of whose host.
        incident: IncidentId,
    },
}

impl Foreign {
    /// For people.
    pub fn text(&self) -> String {
        match self {
            Foreign::InUse { node } => {
                format!(
                    "HA node {node} is in use, and for no incident of ours: the original or a person wrote it"
                )
            }
            Foreign::InUseSince { node, host } => format!(
                "HA node {node} came into use after {host} had failed, and for no incident of ours: the original may be \
                 recovering {host} there"
            ),
            Foreign::Recovered { host } => format!(
                "status/recovered of {host} is True, and it has no incident of ours: the original or a person wrote it"
            ),
            Foreign::RecoveredUnclaimed { incident } => format!(
                "status/recovered of {} is True, and no HA node of ours has claimed {incident}: the original or a person \
                 wrote it",
                incident.host()
            ),
        }
    }

    /// The operator's next command.
    pub fn next(&self) -> String {
        match self {
            Foreign::InUse { node } | Foreign::InUseSince { node, .. } => {
                format!(
                    "once nothing of another's recovery runs on {node}: nova-ha ha-node free {node} --by NAME"
                )
            }
            Foreign::Recovered { host } => {
                format!("once {host} is repaired and its guests are settled: nova-ha reset {host} --by NAME")
            }
            Foreign::RecoveredUnclaimed { incident } => format!(
                "see in Nova where its guests are; then nova-ha incident abandon {incident} --by NAME, and nova-ha reset {} \
                 --by NAME",
                incident.host()
            ),
        }
    }

    /// `in_use` of an HA node, if nothing of ours explains it. Reads `status/in_use` and `internal/in_use_by`.
    ///
    /// # Errors
    /// One of them cannot be understood.
    pub fn in_use(tree: &Snapshot, node: &HaNodeName) -> Result<Option<Foreign>, TreeError> {
        let keys = keys::ha_node(node);
        let is_ours = tree.text(&keys.in_use_by())?.is_some();
        Ok((tree.flag(&keys.in_use())? && !is_ours).then(|| Foreign::InUse { node: node.clone() }))
    }
}

/// The `in_use` of every HA node, as Consul has it now.
pub struct HaNodesInUse {
    /// HA nodes that are in use for nothing of ours, with Consul's index of that word.
    pub foreign: Vec<(HaNodeName, u64)>,
    /// HA nodes of which nobody can tell, as what is written cannot be understood.
    pub unreadable: Vec<(HaNodeName, u64, TreeError)>,
}

impl HaNodesInUse {
    /// Reads them.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let what = || "which HA nodes are in use".to_owned();
        let listed = store.keys(keys::HA_NODES, false).await;
        let listed = listed.map_err(|source| TreeError::Read { what: what(), source })?;
        let nodes: Vec<HaNodeName> = listed
            .iter()
            .filter_map(|key| keys::ha_node_of(key).filter(|node| *key == keys::ha_node(node).in_use()))
            .collect();
        let of = |node: &HaNodeName| {
            let keys: MachineKeys = keys::ha_node(node);
            [keys.in_use(), keys.in_use_by()]
        };
        let tree = Snapshot::read(store, &what(), &nodes.iter().flat_map(of).collect::<Vec<_>>()).await?;
        let (mut foreign, mut unreadable) = (Vec::new(), Vec::new());
        for node in nodes {
            let index = tree.get(&keys::ha_node(&node).in_use()).map_or(0, |entry| entry.modify_index);
            match Foreign::in_use(&tree, &node) {
                Ok(Some(_)) => foreign.push((node, index)),
                Ok(None) => {}
                Err(error) => unreadable.push((node, index, error)),
            }
        }
        Ok(Self { foreign, unreadable })
    }

    /// One that came into use after `failed` of a host was written at this index of Consul. The original picks an HA node
    /// for none but a host that has failed, so an earlier word is not about this host. Consul's index orders the two; it
    /// drops a write that changes nothing, so that the original's checks, which say *failed* again and again, do not
    /// make the word newer. What cannot be understood may say so.
    pub fn since(&self, host: &HostName, failed_at: u64) -> Option<Foreign> {
        let unreadable = self.unreadable.iter().map(|(node, index, _)| (node, *index));
        let mut words = self.foreign.iter().map(|(node, index)| (node, *index)).chain(unreadable);
        let (node, _) = words.find(|(_, index)| *index > failed_at)?;
        Some(Foreign::InUseSince { node: node.clone(), host: host.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Entry;

    fn tree(entries: &[(String, &str)]) -> Snapshot {
        let mut tree = Snapshot::default();
        tree.extend(entries.iter().map(|(key, value)| Entry {
            key: key.clone(),
            value: value.as_bytes().to_vec(),
            modify_index: 7,
            session: None,
        }));
        tree
    }

    #[test]
    fn an_ha_node_in_use_is_another_s_only_where_no_incident_of_ours_is_named() {
        let node: HaNodeName = "ha1".parse().unwrap();
        let keys = keys::ha_node(&node);
        let foreign = |entries: &[(String, &str)]| Foreign::in_use(&tree(entries), &node);
        assert_eq!(foreign(&[]).unwrap(), None);
        assert_eq!(foreign(&[(keys.in_use(), "False")]).unwrap(), None);
        assert_eq!(foreign(&[(keys.in_use(), "True")]).unwrap(), Some(Foreign::InUse { node: node.clone() }));
        assert_eq!(foreign(&[(keys.in_use(), "True"), (keys.in_use_by(), "c1@0")]).unwrap(), None);
        assert!(foreign(&[(keys.in_use(), "perhaps")]).is_err());
    }

    #[test]
    fn only_what_came_after_the_failure_may_be_about_this_host() {
        let (node, host): (HaNodeName, HostName) = ("ha1".parse().unwrap(), "c1".parse().unwrap());
        let in_use = HaNodesInUse { foreign: vec![(node.clone(), 7)], unreadable: Vec::new() };
        assert_eq!(in_use.since(&host, 7), None);
        assert_eq!(in_use.since(&host, 8), None);
        assert_eq!(
            in_use.since(&host, 6),
            Some(Foreign::InUseSince { node: node.clone(), host: host.clone() })
        );
        let error = || TreeError::Missing { key: "in_use".into() };
        let unclear = HaNodesInUse { foreign: Vec::new(), unreadable: vec![(node.clone(), 7, error())] };
        assert_eq!(unclear.since(&host, 7), None);
        assert_eq!(unclear.since(&host, 6), Some(Foreign::InUseSince { node, host }));
    }
}
