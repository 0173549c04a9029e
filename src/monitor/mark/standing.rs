//! What a sweep says of incidents: open ones that wait for a person or stand still, and ended ones that left guests held.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::report::{Line, Result as LineResult};
use crate::attention::{Row, Severity};
use crate::evidence::EvidenceError;
use crate::incident::attention::{causes, severity};
use crate::incident::facts::Facts;
use crate::incident::held_guests::HeldGuests;
use crate::incident::opening;
use crate::keys;
use crate::names::{HostName, IncidentId};
use crate::policy::Policy;
use crate::store::Store;
use crate::tree::incidents::IncidentNames;
use crate::tree::{Snapshot, TreeError};

/// One incident that a person should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Standing {
    /// Its host.
    pub host: HostName,
    /// Which.
    pub incident: IncidentId,
    /// How much a person has to know it.
    pub severity: Severity,
    /// Each cause in a sentence.
    pub because: Vec<String>,
    /// The operator's next commands.
    pub next: Vec<String>,
}

impl Standing {
    fn of(id: IncidentId, severity: Severity, rows: Vec<Row>) -> Self {
        let mut next: Vec<String> = Vec::new();
        for command in rows.iter().flat_map(|row| &row.next) {
            if !next.contains(command) {
                next.push(command.clone());
            }
        }
        let because = rows.into_iter().map(|row| row.text).collect();
        Self { host: id.host().clone(), incident: id, severity, because, next }
    }

    /// As a person reads it.
    pub fn text(&self) -> String {
        format!("{}: incident {}: {}", self.host, self.incident, self.because.join("; "))
    }
}

/// Reads all open incidents. A line that only says that one of these is open is taken away: it says less.
///
/// # Errors
/// Consul does not answer. A record that cannot be understood is none: the judgement's own line names it.
pub async fn standing(
    store: &dyn Store,
    now: Timestamp,
    lines: &mut Vec<Line>,
) -> Result<Vec<Standing>, EvidenceError> {
    let names = IncidentNames::list(store).await.map_err(tree)?;
    let mut wanted = names.records();
    wanted.push(keys::POLICY.to_owned());
    let records = Snapshot::read(store, "the open incidents", &wanted).await.map_err(tree)?;
    let policy = Policy::of(&records).map_err(tree)?;
    let mut found = Vec::new();
    for id in names.ids {
        let record = opening::record_of(&records, &id).ok().flatten();
        let Some(record) = record.filter(|record| !record.status.is_over()) else { continue };
        let facts = Facts::read(store, &record).await.map_err(tree)?;
        let causes = causes(&facts, now, policy.evacuation_deadline);
        let severity = severity(&facts, &causes, now, policy.attention_after);
        if severity > Severity::Fine {
            let rows = causes.iter().map(|cause| cause.row(&id, severity)).collect();
            found.push(Standing::of(id, severity, rows));
        }
    }
    found.extend(left_held(store).await?);
    let is_said =
        |line: &Line| found.iter().any(|standing| line.incident.as_ref() == Some(&standing.incident));
    lines.retain(|line| line.result != LineResult::No || line.attention || !is_said(line));
    Ok(found)
}

/// Ended incidents that left guests held. What cannot be understood is named by `nova-ha status`, which reads it too.
async fn left_held(store: &dyn Store) -> Result<Vec<Standing>, EvidenceError> {
    let mut by_incident: BTreeMap<IncidentId, Vec<Row>> = BTreeMap::new();
    for guest in HeldGuests::read(store).await.map_err(tree)?.guests {
        by_incident.entry(guest.incident.clone()).or_default().push(guest.row());
    }
    let standing = |(id, rows)| Standing::of(id, Severity::Warning, rows);
    Ok(by_incident.into_iter().map(standing).collect())
}

fn tree(source: TreeError) -> EvidenceError {
    EvidenceError::Tree { source }
}
