//! One guest of an incident as a person reads it.

use serde::Serialize;

use crate::incident::guest::GuestEntry;

/// One guest.
#[derive(Debug, Serialize)]
pub struct GuestView {
    /// Nova's server id.
    pub server: String,
    /// Nova's server name.
    pub name: String,
    /// Where it stands, in one word.
    pub outcome: &'static str,
    /// Why, where there is a why.
    pub why: Option<String>,
    /// Nova host it ran on.
    pub from: String,
    /// Nova host it runs on now.
    pub to: Option<String>,
    /// How often an evacuation was asked for.
    pub attempts: u32,
    /// Nova's migration.
    pub migration: Option<i64>,
    /// Nova's ids of our requests, oldest first.
    pub requests: Vec<String>,
}

impl From<GuestEntry> for GuestView {
    fn from(entry: GuestEntry) -> Self {
        let to = entry.state.to().map(str::to_owned);
        Self {
            outcome: entry.state.word(),
            why: entry.state.why().map(str::to_owned),
            to,
            server: entry.server,
            name: entry.name,
            from: entry.from,
            attempts: entry.attempts,
            migration: entry.migration,
            requests: entry.requests,
        }
    }
}
