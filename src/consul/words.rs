//! What Consul's words mean, told by what they begin with: the one place that reads them.
//!
//! Consul has few statuses and says the rest in words. A transaction that the token may not make and one whose comparison
//! was lost both come as 409, and a server that forwards to the leader wraps its words once more. The beginnings stayed since
//! 1.8; what follows them did not: since 1.12 a denial goes on with the token, the permission and the key. So nothing here
//! looks at an end. `tests/data/consul-answers.json` has the answers of the releases, each with its source.
//!
//! What is not known is an error with Consul's words. It is never a lost comparison, after which everybody here looks again
//! and may find that there is nothing to do.

use crate::store::Denial;

/// What is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The token may not, or is none.
    Denied(Denial),
    /// Nobody leads, or nobody knows who does.
    NoLeader,
    /// Refused because of load, before anything was done.
    Busy,
    /// Of an operation in a transaction: the key, its lock or its index is not as it says.
    Compared,
    /// None of these.
    Other,
}

/// What a server that asked another one puts before the other's words, as often as they were forwarded.
const FORWARDED: [&str; 3] = ["rpc error making call: ", "rpc error: ", "error making call: "];

/// gRPC's form: `code = ResourceExhausted desc = `, and then the words.
const CODE: (&str, &str) = ("code = ", " desc = ");

const BEGINNINGS: [(&str, Meaning); 25] = [
    ("Permission denied", Meaning::Denied(Denial::Permission)),
    ("Endpoint is blocked by agent configuration", Meaning::Denied(Denial::Permission)),
    ("ACL not found", Meaning::Denied(Denial::UnknownToken)),
    ("Cannot resolve root ACL", Meaning::Denied(Denial::UnknownToken)),
    // On a server, on one while the leadership changes, and on a client agent that has lost all servers.
    ("No cluster leader", Meaning::NoLeader),
    ("No known Consul servers", Meaning::NoLeader),
    ("node is not the leader", Meaning::NoLeader),
    ("not the leader", Meaning::NoLeader),
    ("leadership lost", Meaning::NoLeader),
    ("leader not found", Meaning::NoLeader),
    ("Raft leader not found", Meaning::NoLeader),
    ("rate limit", Meaning::Busy),
    ("RPC rate limit", Meaning::Busy),
    ("Rate limit", Meaning::Busy),
    ("Your IP is issuing too many concurrent connections", Meaning::Busy),
    ("failed to set key ", Meaning::Compared),
    ("failed to delete key ", Meaning::Compared),
    ("failed to lock key ", Meaning::Compared),
    ("failed to unlock key ", Meaning::Compared),
    ("failed to check session, key ", Meaning::Compared),
    ("failed session check for key ", Meaning::Compared),
    ("failed to check index, key ", Meaning::Compared),
    ("failed index check for key ", Meaning::Compared),
    // A lock with a session that is gone.
    ("invalid session ", Meaning::Compared),
    // `key "a/b" doesn't exist` of a get, `key "a/b" exists` of check-not-exists.
    ("key \"", Meaning::Compared),
];

/// What an error's text, or the text of one operation in a transaction, means.
pub(super) fn meaning(text: &str) -> Meaning {
    let said = own_words(text);
    let known = BEGINNINGS.iter().find(|(beginning, _)| begins(said, beginning));
    known.map_or(Meaning::Other, |(_, meaning)| *meaning)
}

/// Whether a 404 says that this very session is gone. That ends a recovery, so nobody else's 404 will do.
pub(super) fn says_gone(text: &str, session: &str) -> bool {
    let of_it = own_words(text).strip_prefix("Session id '").and_then(|rest| rest.strip_prefix(session));
    of_it.is_some_and(|rest| begins(rest, "' not found"))
}

/// Without what the servers in between put before it.
fn own_words(text: &str) -> &str {
    let mut said = text.trim_start();
    loop {
        let before = said;
        for wrapping in FORWARDED {
            said = said.strip_prefix(wrapping).unwrap_or(said).trim_start();
        }
        if let Some((_, words)) = said.strip_prefix(CODE.0).and_then(|rest| rest.split_once(CODE.1)) {
            said = words.trim_start();
        }
        if said == before {
            return said;
        }
    }
}

/// By whole words: *ACL not foundation* is something else.
fn begins(said: &str, beginning: &str) -> bool {
    let Some(rest) = said.strip_prefix(beginning) else { return false };
    let is_cut_in_a_word = |c: char| c.is_alphanumeric() && beginning.ends_with(char::is_alphanumeric);
    !rest.starts_with(is_cut_in_a_word)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::consul::{agent, health, kv, session, txn};
    use crate::store::{Op, Renewal, SessionId, StoreError, TxnOutcome};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Row {
        release: String,
        source: String,
        to: String,
        status: u16,
        body: String,
        means: String,
    }

    /// What the client makes of a row, in the words of the file.
    fn made_of(row: &Row) -> &'static str {
        let body = row.body.as_bytes();
        let ops = [Op::Cas("a/b".into(), b"x".to_vec(), 1), Op::Cas("a/c".into(), b"x".to_vec(), 1)];
        let session = SessionId("adf4238a-882b-9ddc-4a9d-5b6758e4159e".into());
        let said = match row.to.as_str() {
            "transaction" => txn::transaction_said(&ops, row.status, body).map(|outcome| match outcome {
                TxnOutcome::Refused(_) => "compared",
                TxnOutcome::Committed(_) => "committed",
            }),
            "read" => kv::key_said("a/b", row.status, None, body).map(|_| "an answer"),
            "renewal" => session::renewal_said(&session, row.status, body).map(|renewal| match renewal {
                Renewal::Gone => "gone",
                Renewal::Renewed => "renewed",
            }),
            "checks" => health::serf_health_said(row.status, body).map(|_| "an answer"),
            "own node" => agent::own_node_said(row.status, body).map(|_| "an answer"),
            other => panic!("{other}"),
        };
        said.unwrap_or_else(|error| match error {
            StoreError::Denied { why: Denial::Permission, .. } => "denied",
            StoreError::Denied { why: Denial::UnknownToken, .. } => "unknown token",
            StoreError::NoLeader { .. } => "no leader",
            StoreError::Busy { .. } => "busy",
            StoreError::Status { status, .. } if status >= 500 => "passes",
            StoreError::Status { .. } | StoreError::Malformed { .. } => "other",
            error => panic!("{error}"),
        })
    }

    #[test]
    fn the_answers_of_each_release_mean_what_they_say() {
        let rows = include_str!("../../tests/data/consul-answers.json");
        let rows: Vec<Row> = serde_json::from_str(rows).unwrap();
        for row in &rows {
            assert!(!row.release.is_empty() && !row.source.is_empty(), "{row:?}");
            assert_eq!(made_of(row), row.means, "{row:?}");
        }
        for means in [
            "an answer",
            "committed",
            "renewed",
            "compared",
            "denied",
            "unknown token",
            "no leader",
            "busy",
            "passes",
            "other",
            "gone",
        ] {
            assert!(rows.iter().any(|row| row.means == means), "{means}");
        }
    }

    #[test]
    fn words_are_told_by_their_beginning_however_often_they_were_forwarded() {
        for text in
            ["ACL not foundation", "Permission deniedly", "the ACL not found", "no Permission denied", ""]
        {
            assert_eq!(meaning(text), Meaning::Other, "{text}");
        }
        let often = format!("{}Permission denied: x", "rpc error making call: ".repeat(5));
        assert_eq!(meaning(&often), Meaning::Denied(Denial::Permission));
        // Whoever may write a key chooses its name, not what is said of it.
        for key in ["ACL not found", "rpc error: Permission denied", "x\", index is stale; Permission denied"]
        {
            assert_eq!(meaning(&format!("failed to set key {key:?}, index is stale")), Meaning::Compared);
            assert_eq!(meaning(&format!("key {key:?} exists")), Meaning::Compared);
        }
    }
}
