//! What the guard reads of the tree: exact keys, consistently.

use super::owner::Seen;
use crate::incident::opening;
use crate::keys;
use crate::names::{Epoch, HostName, IncidentId};
use crate::store::Store;
use crate::tree::meta::Meta;
use crate::tree::returning::Returning;
use crate::tree::runtime_config::RuntimeConfig;
use crate::tree::{Snapshot, TreeError};

/// Reads it in one transaction, and the incident of the host's epoch after it.
///
/// # Errors
/// Consul does not answer, the host is unknown, or `status/failed` or `internal/runtime_config` is not to be
/// seen: a token that may not read it sees nothing, which is *cannot tell* and never *not failed*, nor *no
/// arrays*. `nova-ha host add` writes both keys, as the original did, so that they are always there.
pub async fn ask(store: &dyn Store, host: &HostName) -> Result<Seen, TreeError> {
    let own = keys::host(host);
    let wanted = [
        keys::META.to_owned(),
        own.general(),
        own.failed(),
        own.epoch(),
        own.returning(),
        own.runtime_config(),
    ];
    let tree = Snapshot::read(store, &own.failed(), &wanted).await?;
    let meta = Meta::of(&tree)?;
    if tree.get(&own.general()).is_none() {
        return Err(TreeError::Unknown { what: "host", name: host.to_string() });
    }
    if tree.get(&own.failed()).is_none() {
        return Err(TreeError::Missing { key: own.failed() });
    }
    let failed = tree.flag(&own.failed())?;
    let key = own.runtime_config();
    let published = match tree.get(&key) {
        Some(entry) => RuntimeConfig::parse(&key, &entry.value)?,
        None => return Err(TreeError::Missing { key }),
    };
    // Marking raises `failed` in the transaction that opens an incident, and no reset is taken while one
    // is open: this read is the second line, where somebody changed `failed` by hand.
    let id = IncidentId::new(host.clone(), Epoch(tree.number(&own.epoch())?.unwrap_or(0)));
    let record = Snapshot::read(store, "the incident", &opening::keys_of(&id)).await?;
    let incident = opening::record_of(&record, &id)?.map(|record| (id, record.status.state));
    let returning = tree.record::<Returning>(&own.returning())?.map(|returning| returning.incident);
    Ok(Seen { generation: meta.generation, failed, incident, returning, published })
}
