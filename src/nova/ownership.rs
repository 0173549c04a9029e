//! Whose a host is, where several HA systems share a cloud: two that fence one host, or of which one
//! gives back what the other one fenced, are one too many. Pure.

use super::marks::Aggregate;
use super::services::ComputeService;

/// On an aggregate: which HA system recovers its hosts.
pub const OWNER_KEY: &str = "nova_ha:managed_by";
/// What we are called there.
pub const OWNER: &str = "nova-ha";

/// Marks that other HA systems leave in `disabled_reason` (field notes: InstanceHA and masakari both
/// write there).
const FOREIGN_MARKS: [&str; 3] = ["instanceha", "masakari", "nova-evacuate"];

/// The mark of another HA system on a service, if it has one.
pub fn foreign_mark(service: &ComputeService) -> Option<&'static str> {
    let reason = service.disabled_reason.as_deref().unwrap_or("").to_ascii_lowercase();
    FOREIGN_MARKS.into_iter().find(|mark| reason.contains(mark))
}

/// Which other HA system an aggregate of the host gives it to.
pub fn foreign_owner(aggregates: &[Aggregate]) -> Option<String> {
    aggregates.iter().find_map(|aggregate| {
        let owner = aggregate.metadata.get(OWNER_KEY)?.trim();
        (!owner.eq_ignore_ascii_case(OWNER))
            .then(|| format!("aggregate {}: {OWNER_KEY}={owner}", aggregate.name))
    })
}
