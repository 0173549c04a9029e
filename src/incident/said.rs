//! What people say in an incident: their orders, and their words that its host is off. Each stands in a key that only
//! people's tokens and `recover` may write, so that the token of a check, which opens incidents, gives no order.
//!
//! | layout | an order | a word |
//! |---|---|---|
//! | [`Layout::ByWriter`] | `orders/{id}` | `words/{id}/confirm_off` |
//! | [`Layout::WithinIncident`], of builds up to 2026-11 | in `incidents/{id}/incident` | `incidents/{id}/confirm_off` |
//!
//! The first one is written as soon as every configured HA node reads it and its own token was tried on it
//! ([`Kind::Layout`]). From then on what stands in the keys of the second one counts for nothing: it was said by an
//! older command, or forged by whoever has a check's token.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::IncidentRecord;
use super::record::Order;
use crate::keys;
use crate::names::IncidentId;
use crate::store::{Entry, Store};
use crate::tree::formats::{Formats, Kind};
use crate::tree::record::{Record, parse};
use crate::tree::sign::Sign;
use crate::tree::{Snapshot, TreeError};

/// Whether `nova-ha-recover` alone writes below `incidents/`: then the checks open incidents by an [`Opening`], and people
/// lead them by a [`Word`]. An HA node says so once its `recover` may end both, and its `mark-failed` may open.
///
/// [`Opening`]: super::opening::Opening
/// [`Word`]: super::lead::Word
pub fn recover_alone_writes(formats: &Formats) -> bool {
    formats.allows(Kind::Layout, 2).is_ok()
}

/// Where people's orders and words stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Among what the recovery writes.
    WithinIncident,
    /// In keys of their own.
    ByWriter,
}

impl Layout {
    /// The one that is written, by what the configured HA nodes read.
    pub fn of(formats: &Formats) -> Self {
        match formats.allows(Kind::Layout, 1) {
            Ok(()) => Layout::ByWriter,
            Err(_) => Layout::WithinIncident,
        }
    }

    /// The key of a person's word that the host is off.
    pub fn confirm_off(self, id: &IncidentId) -> String {
        let keys = keys::incident(id);
        match self {
            Layout::WithinIncident => keys.confirm_off_within(),
            Layout::ByWriter => keys.confirm_off(),
        }
    }
}

/// `orders/{id}`: a person's order, by its giver alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRecord {
    /// Format version.
    pub version: u64,
    /// For which incident.
    pub incident: IncidentId,
    /// Who.
    pub by: String,
    /// When, by the wall clock of where it was given.
    pub at: Timestamp,
    /// For how long it counts.
    pub ttl_seconds: u64,
    /// What said that the host lives when the order was given, see [`Order::although`].
    pub although: BTreeSet<Sign>,
}

impl Record for OrderRecord {
    const VERSION: u64 = Kind::Order.newest();
}

impl OrderRecord {
    /// As it is stored for an incident.
    pub fn new(incident: IncidentId, order: &Order) -> Self {
        Self {
            version: Self::VERSION,
            incident,
            by: order.by.clone(),
            at: order.at,
            ttl_seconds: order.ttl().as_secs(),
            although: order.although.clone(),
        }
    }

    /// The order, with what the recovery wrote about its use.
    fn order(self, used: Option<&Order>) -> Order {
        let is_it = |used: &Order| used.used && used.by == self.by && used.at == self.at;
        Order {
            used: used.is_some_and(is_it),
            by: self.by,
            at: self.at,
            ttl_seconds: Some(self.ttl_seconds),
            although: self.although,
        }
    }
}

/// What there is of an order in an incident.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordered {
    /// Nobody gave one.
    No,
    /// This one, whose time may be over.
    By(Order),
    /// One that stands in the incident's record, where none counts any more: who gave it, by that record.
    OfOlder {
        /// Who.
        by: String,
    },
}

impl Ordered {
    /// From what was read. `layout` is asked only where the answer depends on it.
    ///
    /// # Errors
    /// The order cannot be understood, or is another incident's.
    pub fn of(record: &IncidentRecord, own: Option<&Entry>, layout: Layout) -> Result<Self, TreeError> {
        match (own, &record.order, layout) {
            (Some(entry), used, Layout::WithinIncident | Layout::ByWriter) => {
                let order: OrderRecord = parse(&entry.key, &entry.value)?;
                if order.incident != record.id {
                    let why = format!("it is an order for {}", order.incident);
                    return Err(TreeError::Malformed { key: entry.key.clone(), why });
                }
                Ok(Ordered::By(order.order(used.as_ref())))
            }
            (None, Some(order), Layout::WithinIncident) => Ok(Ordered::By(order.clone())),
            (None, Some(order), Layout::ByWriter) => Ok(Ordered::OfOlder { by: order.by.clone() }),
            (None, None, Layout::WithinIncident | Layout::ByWriter) => Ok(Ordered::No),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Consul does not answer, or see [`Ordered::of`].
    pub async fn read(store: &dyn Store, record: &IncidentRecord) -> Result<Self, TreeError> {
        let key = keys::incident(&record.id).order();
        let own = Snapshot::read(store, "a person's order", std::slice::from_ref(&key)).await?;
        let own = own.get(&key);
        let layout = match (own, &record.order) {
            (None, Some(_)) => Layout::of(&Formats::read(store).await?),
            (Some(_), _) | (None, None) => Layout::ByWriter,
        };
        Self::of(record, own, layout)
    }

    /// The order, if it may count.
    pub fn order(self) -> Option<Order> {
        match self {
            Ordered::By(order) => Some(order),
            Ordered::No | Ordered::OfOlder { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Status;
    use crate::incident::record::Origin;
    use crate::tree::record::bytes;

    fn order() -> Order {
        Order::new("ann".into(), "2026-11-30T12:00:00Z".parse().unwrap())
    }

    fn record(order: Option<Order>) -> IncidentRecord {
        let at = "2026-11-30T11:00:00Z".parse().unwrap();
        IncidentRecord {
            version: 1,
            id: "compute1@3".parse().unwrap(),
            origin: Origin::Observers,
            order,
            opened_by: "ha1".into(),
            opened_at: at,
            changed_at: at,
            holder: None,
            head: 0,
            status: Status::default(),
        }
    }

    fn stored(incident: &str, order: &Order) -> Entry {
        let value = bytes(&OrderRecord::new(incident.parse().unwrap(), order));
        Entry { key: "ha_cluster/orders/compute1@3".into(), value, modify_index: 9, session: None }
    }

    #[test]
    fn an_order_in_the_record_counts_only_in_the_layout_of_older_builds() {
        let forged = record(Some(Order { used: true, ..order() }));
        let within = Ordered::of(&forged, None, Layout::WithinIncident).unwrap();
        assert_eq!(within.order().unwrap().by, "ann");
        let by_writer = Ordered::of(&forged, None, Layout::ByWriter).unwrap();
        assert_eq!(by_writer, Ordered::OfOlder { by: "ann".into() });
        assert_eq!(by_writer.order(), None);
    }

    #[test]
    fn only_the_very_order_that_was_given_is_used() {
        let given = stored("compute1@3", &order());
        let used = |order: Option<Order>| {
            Ordered::of(&record(order), Some(&given), Layout::ByWriter).unwrap().order().unwrap().used
        };
        assert!(!used(None) && !used(Some(order())));
        assert!(used(Some(Order { used: true, ..order() })));
        let other = "2026-11-30T12:00:01Z".parse().unwrap();
        assert!(!used(Some(Order { used: true, at: other, ..order() })), "another order was used");
        assert!(!used(Some(Order { used: true, by: "bob".into(), ..order() })));
    }

    #[test]
    fn an_order_for_another_incident_is_none_for_this_one() {
        let other = stored("compute1@2", &order());
        assert!(Ordered::of(&record(None), Some(&other), Layout::ByWriter).is_err());
    }
}
