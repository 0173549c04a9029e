//! Migration records: what became of an evacuation, and which live migrations a dead host left.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::http::Answer;
use super::ids::{Microversion, NovaHost, ServerId};
use super::servers::{Link, MAX_PAGES};

/// 2.59 brought UUIDs, paging and an order.
const VERSION: Microversion = Microversion::two(59);
const PAGE: usize = 1000;
const EVACUATION: &str = "evacuation";
const LIVE_MIGRATION: &str = "live-migration";

/// How far a migration is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum MigrationStatus {
    /// Nova took the request; conductor has not chosen a host yet, or the target not begun.
    Accepted,
    /// The target claimed room and is building.
    PreMigrating,
    /// The guest is on the target, by the target's word.
    Done,
    /// The source's nova-compute started and cleaned up. It sets this on records that were only
    /// `accepted` or `pre-migrating` too, so it proves nothing about the guest.
    Completed,
    /// The target gave up; what became of the guest is in its vm_state and host.
    Failed,
    /// No host was found, or conductor failed.
    Error,
    /// Aborted.
    Cancelled,
    /// One that this program does not know.
    Other(String),
}

const STATUSES: [(&str, MigrationStatus); 7] = [
    ("accepted", MigrationStatus::Accepted),
    ("pre-migrating", MigrationStatus::PreMigrating),
    ("done", MigrationStatus::Done),
    ("completed", MigrationStatus::Completed),
    ("failed", MigrationStatus::Failed),
    ("error", MigrationStatus::Error),
    ("cancelled", MigrationStatus::Cancelled),
];

impl From<String> for MigrationStatus {
    fn from(word: String) -> Self {
        STATUSES.into_iter().find(|(known, _)| *known == word).map_or(Self::Other(word), |(_, status)| status)
    }
}

impl From<MigrationStatus> for String {
    fn from(status: MigrationStatus) -> Self {
        match status {
            MigrationStatus::Other(word) => word,
            known => STATUSES
                .into_iter()
                .find(|(_, status)| *status == known)
                .map_or_else(Self::new, |(word, _)| word.to_owned()),
        }
    }
}

impl std::fmt::Display for MigrationStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&String::from(self.clone()))
    }
}

/// What a migration's status says about the guest, on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MigrationOutcome {
    /// Somebody works on it, or died doing so: nothing may be posted again.
    InFlight,
    /// It should be on the target: look at the guest.
    Arrived,
    /// Nothing works on it any more, and it did not get there.
    GaveUp,
    /// The status tells nothing: look at the guest, and hold if that does not tell either.
    CannotTell,
}

impl MigrationStatus {
    /// What it says about the guest.
    pub fn outcome(&self) -> MigrationOutcome {
        match self {
            Self::Accepted | Self::PreMigrating => MigrationOutcome::InFlight,
            Self::Done => MigrationOutcome::Arrived,
            Self::Failed | Self::Error => MigrationOutcome::GaveUp,
            Self::Completed | Self::Cancelled | Self::Other(_) => MigrationOutcome::CannotTell,
        }
    }
}

/// An evacuation or a live migration, as Nova says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// Rises with each migration of one cell.
    pub id: i64,
    /// Its id among all cells.
    pub uuid: String,
    /// The guest.
    #[serde(rename = "instance_uuid")]
    pub server: ServerId,
    /// How far it is.
    pub status: MigrationStatus,
    /// The host that it leaves.
    #[serde(rename = "source_compute")]
    pub source: NovaHost,
    /// The host that it goes to, once that is known.
    #[serde(rename = "dest_compute", default)]
    pub dest: Option<NovaHost>,
    /// When it was asked for (UTC, Nova's spelling); for people and for order among one guest's.
    pub created_at: String,
    /// When it last changed.
    #[serde(default)]
    pub updated_at: Option<String>,
}

#[derive(Deserialize)]
struct OnePage {
    migrations: Vec<Value>,
    #[serde(default)]
    migrations_links: Vec<Link>,
}

impl NovaClient {
    pub(super) async fn read_evacuations_from(&self, source: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        // As with guests: a cell that is down is left out of this list without a word.
        self.require_cell_of(source).await?;
        let found = self.read_evacuations_seen(source, None).await?;
        self.require_cell_of(source).await?;
        Ok(found)
    }

    pub(super) async fn read_evacuations_seen(
        &self,
        source: &NovaHost,
        newest: Option<usize>,
    ) -> Result<Vec<Migration>, NovaError> {
        let wanted = |row: &Migration| row.source == *source;
        self.read_evacuations("source_compute", source.as_str(), newest, wanted).await
    }

    pub(super) async fn read_evacuations_of(&self, server: &ServerId) -> Result<Vec<Migration>, NovaError> {
        let found = self
            .read_evacuations("instance_uuid", server.as_str(), None, |row| row.server == *server)
            .await?;
        // Fails where the guest's cell is down; a deleted guest's records are all there are.
        self.read_server(server).await?;
        Ok(found)
    }

    pub(super) async fn read_live_migrations_at(&self, host: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        // `host` is either end; one page, newest first since 2.59. A guest has one at a time.
        let call = NovaCall::read(&["os-migrations"], VERSION)
            .with("migration_type", LIVE_MIGRATION)
            .with("host", host.as_str())
            .with("limit", PAGE.to_string());
        live_at(&self.call(&call).await?, host)
    }

    async fn read_evacuations(
        &self,
        filter: &'static str,
        value: &str,
        newest: Option<usize>,
        wanted: impl Fn(&Migration) -> bool + Send,
    ) -> Result<Vec<Migration>, NovaError> {
        let mut found: Vec<Migration> = Vec::new();
        let mut seen = BTreeSet::new();
        let mut marker: Option<String> = None;
        let mut pages = 0;
        loop {
            let mut call = NovaCall::read(&["os-migrations"], VERSION)
                .with("migration_type", EVACUATION)
                .with(filter, value)
                .with("limit", newest.unwrap_or(PAGE).clamp(1, PAGE).to_string());
            if let Some(marker) = marker.take() {
                call = call.with("marker", marker);
            }
            let answer = self.call(&call).await?;
            let page = evacuations(&answer, &format!("{filter}={value}"), &wanted)?;
            // A new record may push known ones onto the next page while the pages are read.
            found.extend(page.rows.into_iter().filter(|row| seen.insert(row.uuid.clone())));
            marker = page.marker;
            if !page.has_next || marker.is_none() || newest.is_some() {
                found.sort_by(newest_first);
                return Ok(found);
            }
            pages += 1;
            if pages == MAX_PAGES {
                return Err(answer.malformed(format!("the list does not end after {pages} pages")));
            }
        }
    }
}

fn newest_first(a: &Migration, b: &Migration) -> std::cmp::Ordering {
    (&b.created_at, b.id).cmp(&(&a.created_at, a.id))
}

fn live_at(answer: &Answer, host: &NovaHost) -> Result<Vec<Migration>, NovaError> {
    let mut found = Vec::new();
    for row in answer.json::<OnePage>()?.migrations {
        if row.get("migration_type").and_then(Value::as_str) != Some(LIVE_MIGRATION) {
            continue;
        }
        let migration: Migration = serde_json::from_value(row)
            .map_err(|error| answer.malformed(format!("a live migration: {error}")))?;
        if migration.source != *host && migration.dest.as_ref() != Some(host) {
            return Err(answer.malformed(format!("asked for host={host}, got migration {}", migration.id)));
        }
        found.push(migration);
    }
    found.sort_by(newest_first);
    Ok(found)
}

/// One page of evacuations.
struct Page {
    rows: Vec<Migration>,
    has_next: bool,
    /// Where the next one begins.
    marker: Option<String>,
}

fn evacuations(answer: &Answer, asked: &str, wanted: impl Fn(&Migration) -> bool) -> Result<Page, NovaError> {
    let page: OnePage = answer.json()?;
    let mut found = Page { rows: Vec::new(), has_next: Link::has_next(&page.migrations_links), marker: None };
    for row in page.migrations {
        found.marker = row.get("uuid").and_then(Value::as_str).map(str::to_owned);
        // Checked before the rest is read: a strange record of another kind is no error.
        if row.get("migration_type").and_then(Value::as_str) != Some(EVACUATION) {
            continue;
        }
        let migration: Migration = serde_json::from_value(row)
            .map_err(|error| answer.malformed(format!("an evacuation: {error}")))?;
        if !wanted(&migration) {
            return Err(answer.malformed(format!("asked for {asked}, got migration {}", migration.id)));
        }
        found.rows.push(migration);
    }
    Ok(found)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl NovaClient {
    pub(crate) fn live_migrations_in(body: &[u8], host: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        live_at(&Answer::of_200(body), host)
    }

    pub(crate) fn evacuations_in(body: &[u8], source: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        evacuations(&Answer::of_200(body), "source", |row| row.source == *source).map(|page| page.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_done_says_that_a_guest_arrived_and_completed_proves_nothing() {
        for (word, status) in STATUSES {
            assert_eq!(MigrationStatus::from(word.to_owned()), status);
            let expected = match word {
                "accepted" | "pre-migrating" => MigrationOutcome::InFlight,
                "done" => MigrationOutcome::Arrived,
                "failed" | "error" => MigrationOutcome::GaveUp,
                _ => MigrationOutcome::CannotTell,
            };
            assert_eq!(status.outcome(), expected, "{word}");
            assert_eq!(String::from(status), word);
        }
        assert_eq!(MigrationStatus::from("queued".to_owned()).outcome(), MigrationOutcome::CannotTell);
    }
}
