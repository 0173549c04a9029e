//! Whether the filesystems that hold a host's guests are mounted again: from what the host published since it was
//! fenced, by Consul's order of all writes. What it published before says nothing about now.

use super::steps::{GuestDisks, is_ours};
use crate::incident::DISABLED_REASON;
use crate::incident::journal::{Event, JournalEntry};
use crate::incident::step::Step;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::nova::ComputeService;
use crate::operator::cluster::Cluster;
use crate::published_disks::of_the_guests;
use crate::store::Store;
use crate::tree::published::Published;
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// Looks. Only of a host that a recovery of ours disabled anybody asks: another one is not enabled by us.
pub(super) async fn of(
    cluster: &Cluster,
    host: &HostName,
    service: Option<&ComputeService>,
    store: &dyn Store,
) -> Result<GuestDisks, TreeError> {
    let Some(entry) = cluster.snapshot.get(&keys::host(host).runtime_config()) else {
        return Ok(GuestDisks::NotOnArrays);
    };
    let published = Published::of(&cluster.snapshot, &keys::host(host)).disks()?;
    if of_the_guests(&published).is_empty() {
        return Ok(GuestDisks::NotOnArrays);
    }
    let Some(service) = service.filter(|service| is_ours(service)) else { return Ok(GuestDisks::NotYet) };
    let fenced_at = match incident_of(service) {
        Some(id) => fenced_at(&id, store).await?,
        None => None,
    };
    // Where that journal is no more: since the reset, which comes later.
    let reset_at = cluster.snapshot.get(&keys::host(host).failed()).map(|failed| failed.modify_index);
    let is_since = fenced_at.or(reset_at).is_some_and(|index| entry.modify_index > index);
    Ok(match published.guests_mounted_in {
        Some(_) if is_since => GuestDisks::Mounted,
        Some(_) | None => GuestDisks::NotYet,
    })
}

/// The incident whose recovery disabled it.
fn incident_of(service: &ComputeService) -> Option<IncidentId> {
    service.disabled_reason.as_deref()?.strip_prefix(DISABLED_REASON)?.trim().parse().ok()
}

/// Consul's index of the journal's word that it was proved off.
async fn fenced_at(id: &IncidentId, store: &dyn Store) -> Result<Option<u64>, TreeError> {
    let journal = keys::incident(id).journal();
    let entries =
        Snapshot::read(store, &format!("the journal of {id}"), std::slice::from_ref(&journal)).await?;
    for entry in entries.below(&journal) {
        let said: JournalEntry = parse(&entry.key, &entry.value)?;
        if matches!(said.what, Event::Finished { step: Step::Fence, .. }) {
            return Ok(Some(entry.modify_index));
        }
    }
    Ok(None)
}
