//! A person's own order: `nova-ha-mark-failed HOST --by NAME`.

use crate::incident::record::Order;
use crate::judge::scene::{Scene, Subject};
use crate::names::{HostName, IncidentId};

/// What an order leads to.
pub enum Ordered<'a> {
    /// Open an incident on it.
    Open(&'a Subject),
    /// Add it to the incident that is open.
    AddTo(IncidentId),
    /// Not even a person may, this way.
    No(String),
}

/// An order stands in for votes and guards. It does not stand in for a host that nobody
/// configured, for maintenance (a person said so too, and can end it), or for a reset.
pub fn consider<'a>(scene: &'a Scene, host: &HostName, order: &Order) -> Ordered<'a> {
    if !scene.hosts.contains(host) {
        return Ordered::No("nobody configured this host: nova-ha host list".into());
    }
    if order.by.trim().is_empty() {
        return Ordered::No("an order names who gives it: --by NAME".into());
    }
    if let Some(open) = scene.open_incident(host) {
        return Ordered::AddTo(open.id.clone());
    }
    let Some(subject) = scene.subjects.get(host) else {
        return Ordered::No("its keys cannot be read".into());
    };
    if scene.incidents.iter().any(|i| i.id.host() == host && i.id.epoch() == subject.epoch)
        || subject.recovered
    {
        return Ordered::No(format!("its last incident has ended: nova-ha reset {host} --by NAME"));
    }
    if let Some(why) = &subject.maintenance {
        return Ordered::No(format!("in maintenance ({why}): nova-ha maintenance off {host}"));
    }
    Ordered::Open(subject)
}
