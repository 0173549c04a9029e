//! Blocking queries: the agent answers when something changed, or when the wait is over.
//!
//! They follow what goes on, for a person's screen or as a hint to read again. They read in
//! Consul's default mode; nothing may be decided on what they answer.

use std::time::Duration;

use super::health::{self, Check};
use super::http::{Answered, Http};
use super::kv::{self, Pair};
use crate::store::{Entry, StoreError};

/// Consul caps the wait at this.
pub const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// What is followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One key.
    Key(String),
    /// Everything below a prefix, which ends in `/`.
    Prefix(String),
    /// All checks of one Consul node.
    Node(String),
}

/// The view after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Of a key or a prefix; empty when there is nothing (or nothing that the token may read).
    Entries(Vec<Entry>),
    /// Of a node's checks.
    Checks(Vec<Check>),
}

/// Follows one subject. The first view comes at once.
#[derive(Debug, Clone)]
pub struct Follow {
    http: Http,
    subject: Subject,
    index: u64,
}

impl Follow {
    pub(super) fn new(http: Http, subject: Subject) -> Self {
        Self { http, subject, index: 0 }
    }

    /// The view as of its next change, or `None` when `wait` passed without one. Consul may stretch
    /// the wait by a sixteenth; and it may wake for a change elsewhere in the tree, so that two
    /// views in a row can be equal.
    ///
    /// # Errors
    /// As any read, after one attempt: the caller is in a loop anyway. The position is kept.
    pub async fn next(&mut self, wait: Duration) -> Result<Option<View>, StoreError> {
        let wait = wait.min(LONGEST_WAIT);
        let mut call = match &self.subject {
            Subject::Key(key) => kv::get_call(key)?,
            Subject::Prefix(prefix) => kv::list_call(prefix)?,
            Subject::Node(node) => health::node_call(node),
        };
        if self.index > 0 {
            call = call
                .param("index", self.index.to_string())
                .param("wait", format!("{}ms", wait.as_millis().max(1)))
                .patience(wait + wait / 16);
        }
        let answer = self.http.once(&call).await?;
        let index = answer.index.ok_or_else(|| call.malformed("it has no X-Consul-Index"))?;
        let seen = self.index;
        self.index = next_index(seen, index);
        if index == seen {
            return Ok(None);
        }
        let view = match &self.subject {
            Subject::Node(_) => View::Checks(health::all(answer.json(&call)?, &call)?),
            Subject::Key(_) | Subject::Prefix(_) if answer.status == Answered::Absent => {
                View::Entries(Vec::new())
            }
            Subject::Key(key) => View::Entries(vec![kv::one(answer.json::<Vec<Pair>>(&call)?, key, &call)?]),
            Subject::Prefix(prefix) => {
                View::Entries(kv::all(answer.json::<Vec<Pair>>(&call)?, prefix, &call)?)
            }
        };
        Ok(Some(view))
    }
}

/// An index that went backwards (a restored snapshot, other servers) starts anew; one of zero would
/// not block, and spin.
fn next_index(seen: u64, answered: u64) -> u64 {
    if answered < seen { 0 } else { answered.max(1) }
}

#[cfg(test)]
mod tests {
    use super::next_index;

    #[test]
    fn an_index_that_goes_backwards_starts_anew() {
        assert_eq!([(0, 0), (0, 7), (7, 7), (7, 9), (9, 7)].map(|(a, b)| next_index(a, b)), [1, 7, 7, 9, 0]);
    }
}
