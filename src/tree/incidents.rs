//! Which incidents there are, told from a listing that Consul cut short.

use super::TreeError;
use crate::keys;
use crate::names::IncidentId;
use crate::store::Store;

/// The names below `ha_cluster/incidents/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentNames {
    /// Those of incidents, in Consul's order.
    pub ids: Vec<IncidentId>,
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
        let (ids, strays) = names.into_iter().partition::<Vec<_>, _>(|n| keys::incident_of(n).is_some());
        Ok(Self { ids: ids.iter().filter_map(|name| keys::incident_of(name)).collect(), strays })
    }
}
