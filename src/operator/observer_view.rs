//! What one observer says of a machine, as it is shown.

use serde::Serialize;

use super::seen::fingerprint;
use super::table::when;
use crate::tree::observer::ObserverRecord;

/// One observer's record, shortened.
#[derive(Debug, Clone, Serialize)]
pub struct ObserverView {
    /// The HA node.
    pub observer: String,
    /// Consecutive fails.
    pub fails: u64,
    /// Fails that make a vote.
    pub threshold: u64,
    /// Epoch of the host that it is about.
    pub epoch: u64,
    /// Wall clock of the observer.
    pub at: jiff::Timestamp,
    /// The probe's words.
    pub why: String,
    /// The SSH host key that it saw first, as ssh-keygen shows it, where it goes by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_seen_key: Option<String>,
}

impl ObserverView {
    /// Of its record.
    pub(super) fn of(record: ObserverRecord) -> Self {
        Self {
            observer: record.observer.to_string(),
            fails: record.fails,
            threshold: record.threshold,
            epoch: record.epoch.0,
            at: record.at,
            why: record.why,
            first_seen_key: record.first_seen_key.as_deref().map(fingerprint),
        }
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let first_sight =
            self.first_seen_key.as_ref().map(|key| format!("first sight: it goes by SSH host key {key}"));
        let said: Vec<&str> = [self.why.as_str()]
            .into_iter()
            .chain(first_sight.as_deref())
            .filter(|part| !part.is_empty())
            .collect();
        let at = when(self.at);
        format!("{} of {} fails, epoch {}, {at}: {}", self.fails, self.threshold, self.epoch, said.join("; "))
    }
}
