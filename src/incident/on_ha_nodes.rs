//! Guests that incidents have left on HA nodes: until its host is reset, an incident's ledger says where they are.
//!
//! An HA node has no incident of its own. Nobody else would miss its guests when it dies.

use std::collections::BTreeMap;

use super::guest::{GuestEntry, GuestState};
use super::guests_seen::{Differs, GuestsSeen, NovaSays};
use crate::attention::{Row, Severity};
use crate::keys;
use crate::names::{Epoch, HaNodeName, IncidentId};
use crate::store::Store;
use crate::tree::incidents::IncidentNames;
use crate::tree::nova_names::{TreeMachine, bound};
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// One guest on an HA node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// The incident that recovered it.
    pub incident: IncidentId,
    /// Nova's server id.
    pub server: String,
    /// Its name in Nova.
    pub name: String,
    /// Nova host where the ledger says that it is.
    pub to: String,
    /// Whether it was to run there.
    pub runs: bool,
    /// What Nova said of it last, where that was something else.
    pub nova: Option<NovaSays>,
}

/// Guests by the HA node that they were recovered to, and what of it cannot be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnHaNodes {
    /// By HA node; one without guests is not in it. Those that have left it, by Nova's word, are in it too.
    pub guests: BTreeMap<HaNodeName, Vec<Carried>>,
    /// Keys that cannot be understood.
    pub unreadable: Vec<String>,
}

impl OnHaNodes {
    /// Reads the ledgers of all incidents whose host is still in the incident's epoch: a reset begins another.
    ///
    /// # Errors
    /// Consul does not answer. What cannot be understood is named in the answer.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let ids = IncidentNames::list(store).await?.ids;
        let mut found = Self::default();
        if ids.is_empty() {
            return Ok(found);
        }
        let what = || "the guests on HA nodes".to_owned();
        let listed = store.keys(keys::HA_NODES, false).await;
        let listed = listed.map_err(|source| TreeError::Read { what: what(), source })?;
        let is_added = |node: &HaNodeName| listed.contains(&keys::ha_node(node).general());
        let mut nodes: Vec<HaNodeName> = listed.iter().filter_map(|key| keys::ha_node_of(key)).collect();
        nodes.dedup();
        nodes.retain(is_added);
        let epochs = ids.iter().map(|id| keys::host(id.host()).epoch());
        let seen = ids.iter().map(|id| keys::incident(id).guests_seen());
        let prefixes: Vec<String> =
            epochs.chain(seen).chain(nodes.iter().map(|node| keys::ha_node(node).names())).collect();
        let tree = Snapshot::read(store, &what(), &prefixes).await?;
        let by_nova_name: BTreeMap<String, HaNodeName> = nodes
            .into_iter()
            .filter_map(|node| Some((bound(&tree, &TreeMachine::HaNode(node.clone())).ok()?, node)))
            .collect();
        for id in ids {
            let epoch = tree.number(&keys::host(id.host()).epoch()).map(|epoch| Epoch(epoch.unwrap_or(0)));
            // Of a host whose epoch cannot be read nobody knows that it was reset.
            if epoch.is_ok_and(|epoch| epoch != id.epoch()) {
                continue;
            }
            // A note that cannot be understood hides no guest.
            let seen: Option<GuestsSeen> = tree.record(&keys::incident(&id).guests_seen()).ok().flatten();
            let seen = seen.map_or_else(Vec::new, |seen| seen.differs);
            let ledger = store.list(&keys::incident(&id).guests()).await;
            for stored in ledger.map_err(|source| TreeError::Read { what: what(), source })? {
                match parse::<GuestEntry>(&stored.key, &stored.value) {
                    Ok(entry) => found.add(&id, entry, &by_nova_name, &seen),
                    Err(error) => found.unreadable.push(error.to_string()),
                }
            }
        }
        Ok(found)
    }

    fn add(
        &mut self,
        incident: &IncidentId,
        entry: GuestEntry,
        nodes: &BTreeMap<String, HaNodeName>,
        seen: &[Differs],
    ) {
        let runs = !entry.must_stop();
        let GuestState::Recovered { to } = entry.state else { return };
        let Some(node) = nodes.get(&to) else { return };
        let nova =
            seen.iter().find(|differs| differs.server == entry.server).map(|differs| differs.nova.clone());
        let (server, name) = (entry.server, entry.name);
        let carried = Carried { incident: incident.clone(), server, name, to, runs, nova };
        self.guests.entry(node.clone()).or_default().push(carried);
    }
}

/// What is known of an HA node that has guests and does not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is dead by the votes of the others.
    Dead,
    /// Its Consul agent left or never joined: the votes say nothing.
    AgentAbsent,
}

/// An HA node whose guests may be down, and that nobody recovers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stranded {
    /// Which.
    pub node: HaNodeName,
    /// How it stands.
    pub fate: Fate,
    /// Its guests; at least one.
    pub guests: Vec<Carried>,
}

/// Guests that a line names; the ledger names them all.
const MOST_NAMED: usize = 20;

impl Stranded {
    /// The row of the table. That guests are down and that nobody will bring them back is no matter of how long.
    pub fn row(&self) -> Row {
        let node = &self.node;
        let (severity, how) = match self.fate {
            Fate::Dead => (Severity::Critical, "is dead by the votes, with guests that were recovered to it"),
            Fate::AgentAbsent => {
                (Severity::Warning, "has no Consul agent, so nobody sees whether it lives, with guests on it")
            }
        };
        let mut names: Vec<&str> = self.guests.iter().map(|guest| guest.name.as_str()).collect();
        names.sort_unstable();
        let more = names.len().saturating_sub(MOST_NAMED);
        names.truncate(MOST_NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let mut incidents: Vec<&IncidentId> = self.guests.iter().map(|guest| &guest.incident).collect();
        incidents.sort();
        incidents.dedup();
        let shows = incidents.into_iter().map(|id| format!("nova-ha incident show {id}"));
        let nova_host = self.guests.first().map_or(node.as_str(), |guest| guest.to.as_str());
        let evacuate = format!(
            "bring {node} back, and start those that do not run; or power it off, and evacuate them: openstack server list \
             --all --host {nova_host}"
        );
        Row {
            severity,
            text: format!(
                "HA node {node} {how}: {}{more}; nobody evacuates them by itself",
                names.join(", ")
            ),
            next: [evacuate].into_iter().chain(shows).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(name: &str, incident: &str) -> Carried {
        Carried {
            incident: incident.parse().unwrap(),
            server: format!("id-{name}"),
            name: name.into(),
            to: "ha1".into(),
            runs: true,
            nova: None,
        }
    }

    #[test]
    fn a_dead_ha_node_is_said_with_its_guests_and_what_to_do() {
        let guests = vec![carried("vm-2", "c1@0"), carried("vm-1", "c2@3"), carried("vm-3", "c1@0")];
        for (fate, severity) in [(Fate::Dead, Severity::Critical), (Fate::AgentAbsent, Severity::Warning)] {
            let stranded = Stranded { node: "ha1".parse().unwrap(), fate, guests: guests.clone() };
            let row = stranded.row();
            assert_eq!(row.severity, severity);
            assert!(row.text.contains("HA node ha1 ") && row.text.contains("vm-1, vm-2, vm-3;"), "{row:?}");
            let shows: Vec<&String> = row.next.iter().filter(|next| next.contains("incident show")).collect();
            assert_eq!(shows, ["nova-ha incident show c1@0", "nova-ha incident show c2@3"]);
        }
    }

    #[test]
    fn a_long_list_is_cut() {
        let guests = (0..25).map(|n| carried(&format!("vm-{n:02}"), "c1@0")).collect();
        let row = Stranded { node: "ha1".parse().unwrap(), fate: Fate::Dead, guests }.row();
        assert!(row.text.contains("vm-19 and 5 more;") && !row.text.contains("vm-20"), "{row:?}");
    }
}
