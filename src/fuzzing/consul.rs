//! Consul's answers: two bytes of a status (as `100 + n % 500`, but mostly one of those that mean something), and a body.

use serde_json::Value;

use super::holds::{error, json, sentence, which};
use crate::consul::{agent, health, kv, session, txn};
use crate::store::{CheckStatus, Op, SerfHealth, SessionId, StoreError, TxnOutcome};

const STATUSES: [u16; 6] = [200, 404, 409, 403, 500, 301];

fn status(byte: u8) -> u16 {
    STATUSES.get(usize::from(byte.wrapping_sub(b'a')) % STATUSES.len()).copied().unwrap_or(200)
}

fn told<T>(answer: Result<T, StoreError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(why) => {
            error(&why);
            sentence(&why.hint());
            None
        }
    }
}

/// A key, a list, names, a session, the agent's own node: a kind, a status, a line of `X-Consul-Index`, and a body. Nothing is
/// absent that Consul itself does not call so, and nothing is taken for a key that was not asked for.
pub(super) fn kv(data: &[u8]) {
    let Some((kind, rest)) = which(data, 5) else { return };
    let Some((code, rest)) = rest.split_first() else { return };
    let code = status(*code);
    let mut halves = rest.splitn(2, |byte| *byte == b'\n');
    let (index, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let index = std::str::from_utf8(index).ok().filter(|text| !text.is_empty());
    let is_consuls = index.is_some_and(|text| text.parse::<u64>().is_ok());
    match kind {
        0 => match told(kv::key_said("a/b", code, index, body)) {
            Some(Some(entry)) => assert_eq!((entry.key.as_str(), code), ("a/b", 200)),
            Some(None) => assert!(code == 404 && is_consuls, "{code} is an absent key"),
            None => {}
        },
        1 => {
            let found = told(kv::list_said("a/", code, index, body)).unwrap_or_default();
            assert!(found.iter().all(|entry| entry.key.starts_with("a/")));
        }
        2 => {
            let found = told(kv::names_said("a/", code, index, body)).unwrap_or_default();
            assert!(found.iter().all(|name| name.starts_with("a/") && name != "a/"));
        }
        3 => {
            let session = SessionId("adf4238a-882b-9ddc-4a9d-5b6758e4159e".to_owned());
            if told(session::renewal_said(&session, code, body)).is_some() {
                assert!(matches!(code, 200 | 404), "{code} says what became of a session");
            }
        }
        _ => {
            let name = told(agent::own_node_said(code, body));
            assert_ne!(name.as_deref(), Some(""));
        }
    }
}

/// A node is critical, or passing, only where Consul says that, once, in this very word.
pub(super) fn health(data: &[u8]) {
    let Some((code, body)) = data.split_first() else { return };
    let code = status(*code);
    let Some(said) = json(body) else {
        told(health::serf_health_said(code, body));
        return;
    };
    let rows = said.as_array().cloned().unwrap_or_default();
    if let Some(nodes) = told(health::serf_health_said(code, body)) {
        for node in nodes {
            let words: Vec<&Value> = rows
                .iter()
                .filter(|row| row.get("Node") == Some(&node.node.as_str().into()))
                .filter_map(|row| row.get("Status"))
                .collect();
            let expected: Value = match node.serf {
                SerfHealth::Passing => "passing".into(),
                SerfHealth::Critical => "critical".into(),
            };
            assert_eq!(words, [&expected], "{}", node.node);
        }
    }
    if let Some(checks) = told(health::checks_said(code, body)) {
        let critical = checks.iter().filter(|check| check.status == CheckStatus::Critical).count();
        let said = rows.iter().filter(|row| row.get("Status") == Some(&"critical".into())).count();
        assert_eq!(critical, said);
    }
}

/// A transaction has happened only where each of its operations has its own result.
pub(super) fn txn(data: &[u8]) {
    let Some((kind, rest)) = which(data, 3) else { return };
    let Some((code, body)) = rest.split_first() else { return };
    let (get, set) = (Op::Get("t/b".into()), Op::Set("t/z".into(), b"new".to_vec()));
    let ops = match kind {
        0 => vec![get],
        1 => vec![Op::GetTree("t/".into()), Op::GetTree("u/".into())],
        _ => vec![
            Op::CheckIndex("t/b".into(), 3),
            get,
            Op::GetTree("t/".into()),
            set,
            Op::Delete("t/a".into()),
        ],
    };
    let code = status(*code);
    match told(txn::transaction_said(&ops, code, body)) {
        Some(TxnOutcome::Committed(entries)) => {
            assert_eq!(code, 200);
            let is_asked = |key: &str| ops.iter().any(|op| key.starts_with(op.key()));
            assert!(entries.iter().all(|entry| is_asked(&entry.key)), "{entries:?}");
            for op in &ops {
                if let Op::Get(key) | Op::Set(key, _) = op {
                    assert!(entries.iter().any(|entry| entry.key == *key), "no result for {key}");
                }
            }
        }
        Some(TxnOutcome::Refused(refusals)) => {
            assert!(code == 409 && !refusals.is_empty());
            refusals.iter().for_each(|refusal| sentence(&refusal.what));
        }
        None => {}
    }
}
