//! Which incidents there are, told from a listing that Consul cut short.

use std::collections::BTreeSet;

use super::TreeError;
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Store, StoreError};

/// The names below `ha_cluster/incidents/` and `ha_cluster/opened/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentNames {
    /// Those of incidents, also of such as were opened and that no HA node has taken up.
    pub ids: Vec<IncidentId>,
    /// Those that were opened, and may have been taken up since.
    opened: BTreeSet<IncidentId>,
    /// Whatever else is there, and belongs to nobody.
    pub strays: Vec<String>,
}

impl IncidentNames {
    /// Lists them. A token that may not read them gets an empty list of Consul, which would say
    /// that nothing is open: so the sentinel of `nova-ha init` must be in it.
    ///
    /// # Errors
    /// Consul does not answer, or the sentinel is not to be seen.
    pub async fn list(store: &dyn Store) -> Result<Self, TreeError> {
        // First: what is taken up meanwhile is in both lists, and in neither if this were the second.
        let opened = opened(store).await?;
        let what = || "the incidents".to_owned();
        let mut names = store
            .keys(keys::INCIDENTS, true)
            .await
            .map_err(|source| TreeError::Read { what: what(), source })?;
        let all = names.len();
        names.retain(|name| name != keys::INCIDENTS_SENTINEL);
        if names.len() == all {
            return Err(TreeError::NoSentinel { key: keys::INCIDENTS_SENTINEL.into() });
        }
        let (ids, mut strays) = names.into_iter().partition::<Vec<_>, _>(|n| keys::incident_of(n).is_some());
        let ids: BTreeSet<IncidentId> = ids.iter().filter_map(|name| keys::incident_of(name)).collect();
        let mut of_openings = BTreeSet::new();
        for key in opened {
            match keys::opened_of(&key) {
                Some(id) => drop(of_openings.insert(id)),
                None => strays.push(key),
            }
        }
        Ok(Self { ids: ids.union(&of_openings).cloned().collect(), opened: of_openings, strays })
    }

    /// The keys of all their records, for `incident::opening::record_of`.
    pub fn records(&self) -> Vec<String> {
        let taken_up = self.ids.iter().map(|id| keys::incident(id).incident());
        taken_up.chain(self.opened.iter().map(|id| keys::incident(id).opened())).collect()
    }
}

/// The keys of what was opened and not taken up. A token of an older policy sees none of them, and the HA node that has it
/// opens incidents as an older build does.
///
/// # Errors
/// Consul does not answer.
pub async fn opened(store: &dyn Store) -> Result<Vec<String>, TreeError> {
    let mut keys = match store.keys(keys::OPENED, false).await {
        Ok(keys) => keys,
        Err(StoreError::Denied { .. }) => Vec::new(),
        Err(source) => return Err(TreeError::Read { what: "the incidents that were opened".into(), source }),
    };
    keys.retain(|key| !keys::is_shown_right(key) && key != keys::OPENED);
    Ok(keys)
}
