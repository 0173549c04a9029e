//! Guests that incidents have left *held*: each waits for a person by itself, after its incident has ended.

use super::guest::{GuestEntry, GuestState};
use super::record::IncidentRecord;
use super::settled;
use super::status::State;
use crate::attention::{Row, Severity};
use crate::keys;
use crate::names::{Epoch, IncidentId};
use crate::store::Store;
use crate::tree::incidents::IncidentNames;
use crate::tree::record::parse;
use crate::tree::{Snapshot, TreeError};

/// One that nobody has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsettled {
    /// The incident.
    pub incident: IncidentId,
    /// Nova's server id.
    pub server: String,
    /// Its name in Nova.
    pub name: String,
    /// Why it is held.
    pub why: String,
}

impl Unsettled {
    /// Looks at the guest again, by whoever can prove the host off.
    pub fn retry(&self) -> String {
        format!("nova-ha incident retry {} --guest {} --by NAME", self.incident, self.server)
    }

    /// Says what became of it.
    pub fn settle(&self) -> String {
        format!(
            "nova-ha guest settle {} {} --recovered-on HOST|--stays|--lost --by NAME",
            self.incident, self.server
        )
    }

    /// The row of the table. The host's recovery is over: how long this one waits is its owner's matter and a person's.
    pub fn row(&self) -> Row {
        let Self { incident, server, name, why } = self;
        let text = format!("guest {name} ({server}) was not recovered in {incident} and is held: {why}");
        let retry = format!("{}   (once Nova shows it at rest)", self.retry());
        Row { severity: Severity::Warning, text, next: vec![retry, self.settle()] }
    }
}

/// Of one incident, by its ledger and what people said since.
///
/// # Errors
/// Consul does not answer, or what is there cannot be understood.
pub async fn of(store: &dyn Store, id: &IncidentId) -> Result<Vec<Unsettled>, TreeError> {
    let keys = keys::incident(id);
    let prefixes = [keys.guests(), keys.all_settled()];
    among(&Snapshot::read(store, &format!("the held guests of {id}"), &prefixes).await?, id)
}

/// As [`of`], in a tree that holds the incident's guests and words.
///
/// # Errors
/// What is there cannot be understood.
pub fn among(tree: &Snapshot, id: &IncidentId) -> Result<Vec<Unsettled>, TreeError> {
    let keys = keys::incident(id);
    let settled = settled::servers(tree.below(&keys.all_settled()))?;
    let mut held = Vec::new();
    for stored in tree.below(&keys.guests()) {
        let entry: GuestEntry = parse(&stored.key, &stored.value)?;
        if let GuestState::Held { why, .. } = entry.state
            && !settled.contains(&entry.server)
        {
            held.push(Unsettled { incident: id.clone(), server: entry.server, name: entry.name, why });
        }
    }
    Ok(held)
}

/// What ended incidents left held, of hosts that are not given back, and what of it cannot be understood.
#[derive(Debug, Default)]
pub struct HeldGuests {
    /// In the order of the incidents.
    pub guests: Vec<Unsettled>,
    /// Why those of an incident are not known.
    pub unreadable: Vec<TreeError>,
}

impl HeldGuests {
    /// Reads them.
    ///
    /// # Errors
    /// Consul does not answer.
    pub async fn read(store: &dyn Store) -> Result<Self, TreeError> {
        let ids = IncidentNames::list(store).await?.ids;
        let prefixes: Vec<String> = ids
            .iter()
            .flat_map(|id| {
                let host = keys::host(id.host());
                [keys::incident(id).incident(), host.epoch(), host.general()]
            })
            .collect();
        let mut found = Self::default();
        if prefixes.is_empty() {
            return Ok(found);
        }
        let tree = Snapshot::read(store, "ended incidents", &prefixes).await?;
        for id in ids {
            match is_left(&tree, &id) {
                Ok(true) => match of(store, &id).await {
                    Ok(guests) => found.guests.extend(guests),
                    Err(error @ TreeError::Read { .. }) => return Err(error),
                    Err(error) => found.unreadable.push(error),
                },
                Ok(false) => {}
                Err(error) => found.unreadable.push(error),
            }
        }
        Ok(found)
    }
}

/// Whether it has closed, and its host is still as it left it. Who abandons an incident takes what it left to himself.
fn is_left(tree: &Snapshot, id: &IncidentId) -> Result<bool, TreeError> {
    let host = keys::host(id.host());
    if tree.get(&host.general()).is_none() {
        return Ok(false);
    }
    let epoch = Epoch(tree.number(&host.epoch())?.unwrap_or(0));
    let record: Option<IncidentRecord> = tree.record(&keys::incident(id).incident())?;
    Ok(epoch == id.epoch() && record.is_some_and(|record| record.status.state == State::Closed))
}
