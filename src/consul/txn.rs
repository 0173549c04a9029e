//! Transactions: up to 64 operations, all of them or none.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Answer, Answered, Call, Http, LIST_LIMIT};
use super::kv::Pair;
use super::words::{Meaning, meaning};
use crate::say::short;
use crate::store::{Denial, Entry, MAX_OPS, MAX_VALUE_BYTES, Op, Refusal, StoreError, TxnOutcome};

/// Consul's default `txn_max_req_len`: the whole body, base64 counted.
pub const MAX_BODY_BYTES: usize = 512 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Reply {
    results: Option<Vec<ReplyResult>>,
    errors: Option<Vec<ReplyError>>,
}

#[derive(Debug, Deserialize)]
struct ReplyResult {
    #[serde(rename = "KV")]
    kv: Pair,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ReplyError {
    op_index: usize,
    what: String,
}

pub(super) async fn transact(http: &Http, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
    let doing = describe(ops);
    let body = body(&doing, ops)?;
    // A transaction that only reads is answered by the leader from memory, so it must be told to be
    // consistent like every other read; one that writes goes through Raft, and ignores the flag.
    let call = Call::put(doing, "txn", body).consistent().limit(LIST_LIMIT);
    let answer = if ops.iter().any(writes) { http.write(&call).await? } else { http.read(&call).await? };
    outcome(&call, ops, &answer)
}

fn outcome(call: &Call, ops: &[Op], answer: &Answer) -> Result<TxnOutcome, StoreError> {
    match answer.status {
        Answered::Absent => Err(answer.unexpected(404, call)),
        Answered::Ok => {
            let reply: Reply = answer.json(call)?;
            if reply.errors.is_some_and(|errors| !errors.is_empty()) {
                return Err(call.malformed("it committed with errors"));
            }
            let results = reply.results.unwrap_or_default().into_iter().map(|result| result.kv).collect();
            committed(call, ops, results).map(TxnOutcome::Committed)
        }
        Answered::Conflict => {
            let reply = serde_json::from_slice(&answer.body).map_err(|error| call.malformed(error))?;
            refused(call, ops, reply).map(TxnOutcome::Refused)
        }
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn transaction_said(ops: &[Op], status: u16, body: &[u8]) -> Result<TxnOutcome, StoreError> {
    let call = Call::put(describe(ops), "txn", Vec::new());
    let answer = super::http::answer(&call, status, &[], body)?;
    outcome(&call, ops, &answer)
}

fn describe(ops: &[Op]) -> String {
    match ops {
        [] => "run an empty transaction".to_owned(),
        [op] => format!("{} {}", verb(op), op.key()),
        [first, .., last] => {
            format!("run {} operations from {} to {} in one", ops.len(), first.key(), last.key())
        }
    }
}

fn verb(op: &Op) -> &'static str {
    match op {
        Op::Get(_) => "get",
        Op::GetTree(_) => "get-tree",
        Op::Set(..) => "set",
        Op::Cas(..) => "cas",
        Op::Lock(..) => "lock",
        Op::Unlock(..) => "unlock",
        Op::CheckSession(..) => "check-session",
        Op::CheckIndex(..) => "check-index",
        Op::CheckAbsent(_) => "check-not-exists",
        Op::Delete(_) => "delete",
        Op::DeleteCas(..) => "delete-cas",
        Op::DeleteTree(_) => "delete-tree",
    }
}

fn writes(op: &Op) -> bool {
    match op {
        Op::Set(..) | Op::Cas(..) | Op::Lock(..) | Op::Unlock(..) => true,
        Op::Delete(_) | Op::DeleteCas(..) | Op::DeleteTree(_) => true,
        Op::Get(_) | Op::GetTree(_) | Op::CheckSession(..) | Op::CheckIndex(..) | Op::CheckAbsent(_) => false,
    }
}

/// Limits are checked here, so that each error says which one and where: Consul only says 413.
fn body(doing: &str, ops: &[Op]) -> Result<Vec<u8>, StoreError> {
    let refuse = |message: String| Err(StoreError::Request { doing: doing.to_owned(), message });
    if ops.is_empty() || ops.len() > MAX_OPS {
        return refuse(format!("a transaction has 1 to {MAX_OPS} operations, this one has {}", ops.len()));
    }
    for op in ops {
        if op.key().is_empty() {
            return refuse(format!("{} without a key", verb(op)));
        }
        match op {
            // A snapshot reads exact keys as trees, because an absent one would refuse a `get`, and
            // looks them up exactly. A delete has no such second look.
            Op::DeleteTree(prefix) if !prefix.ends_with('/') => {
                return refuse(format!("the prefix {prefix} does not end in '/'"));
            }
            Op::Set(key, value)
            | Op::Cas(key, value, _)
            | Op::Lock(key, value, _)
            | Op::Unlock(key, value, _)
                if value.len() > MAX_VALUE_BYTES =>
            {
                let length = value.len();
                return refuse(format!("the value of {key} has {length} bytes, at most {MAX_VALUE_BYTES}"));
            }
            // Consul would take 0 for an index that no key has, and answer as for a changed key.
            Op::CheckIndex(key, 0) | Op::DeleteCas(key, 0) => {
                return refuse(format!("{} of {key} at index 0, which no key has", verb(op)));
            }
            _ => {}
        }
    }
    let ops = ops.iter().map(|op| json!({ "KV": operation(op) })).collect::<Vec<_>>();
    let body = Value::Array(ops).to_string().into_bytes();
    if body.len() > MAX_BODY_BYTES {
        return refuse(format!("it takes {} bytes as JSON, at most {MAX_BODY_BYTES}", body.len()));
    }
    Ok(body)
}

fn operation(op: &Op) -> Value {
    let (verb, key) = (verb(op), op.key());
    match op {
        Op::Get(_) | Op::GetTree(_) | Op::CheckAbsent(_) | Op::Delete(_) | Op::DeleteTree(_) => {
            json!({ "Verb": verb, "Key": key })
        }
        Op::Set(_, value) => json!({ "Verb": verb, "Key": key, "Value": STANDARD.encode(value) }),
        Op::Cas(_, value, index) => {
            json!({ "Verb": verb, "Key": key, "Value": STANDARD.encode(value), "Index": index })
        }
        Op::Lock(_, value, session) | Op::Unlock(_, value, session) => {
            json!({ "Verb": verb, "Key": key, "Value": STANDARD.encode(value), "Session": session.0 })
        }
        Op::CheckSession(_, session) => json!({ "Verb": verb, "Key": key, "Session": session.0 }),
        Op::CheckIndex(_, index) | Op::DeleteCas(_, index) => {
            json!({ "Verb": verb, "Key": key, "Index": index })
        }
    }
}

fn refused(call: &Call, ops: &[Op], reply: Reply) -> Result<Vec<Refusal>, StoreError> {
    let errors = reply.errors.unwrap_or_default();
    if errors.is_empty() {
        return Err(call.malformed("it was refused without a reason"));
    }
    // Consul checks all permissions before it applies anything, so one denial is the cause of it all.
    let mut refusals = Vec::with_capacity(errors.len());
    let mut unknown = None;
    for ReplyError { op_index, what } in errors {
        let op = ops
            .get(op_index)
            .ok_or_else(|| call.malformed(format!("it refused operation {op_index} of {}", ops.len())))?;
        let doing = || format!("{} {}", verb(op), op.key());
        let message = short(&what).into_owned();
        match meaning(&what) {
            Meaning::Denied(why) => return Err(StoreError::Denied { doing: doing(), why, message }),
            Meaning::Compared => refusals.push(Refusal { key: op.key().to_owned(), what: message }),
            Meaning::NoLeader | Meaning::Busy | Meaning::Other => {
                unknown.get_or_insert(StoreError::Status { status: 409, doing: doing(), message });
            }
        }
    }
    unknown.map_or(Ok(refusals), Err)
}

/// Matches Consul's results, which name no operation, with the operations that they answer.
///
/// Kept are the answers of reads and writes. The checks' own answers are dropped: they come with
/// the key but without its value, and would read as an empty value of that key.
fn committed(call: &Call, ops: &[Op], results: Vec<Pair>) -> Result<Vec<Entry>, StoreError> {
    // A denied `get` does not fail: it is left out (an absent key would have refused it all).
    let denied = ops.iter().find_map(|op| match op {
        Op::Get(key) if !results.iter().any(|pair| pair.key == *key) => Some(key),
        _ => None,
    });
    if let Some(key) = denied {
        let message = format!("it committed without {key}, which this token may not read");
        return Err(if ops.iter().any(writes) {
            call.malformed(message)
        } else {
            StoreError::Denied { doing: call.doing.clone(), why: Denial::Permission, message }
        });
    }

    let mut entries = Vec::with_capacity(results.len());
    let mut results = results.into_iter().peekable();
    for (i, op) in ops.iter().enumerate() {
        match op {
            Op::Get(key) | Op::Set(key, _) | Op::Cas(key, ..) | Op::Lock(key, ..) | Op::Unlock(key, ..) => {
                let pair = results
                    .next_if(|pair| pair.key == *key)
                    .ok_or_else(|| call.malformed(format!("no result for {} {key}", verb(op))))?;
                entries.push(pair.entry(call)?);
            }
            Op::CheckSession(key, _) | Op::CheckIndex(key, _) => {
                results.next_if(|pair| pair.key == *key);
            }
            Op::GetTree(prefix) => {
                // In order, below the prefix, and leaving those which later operations must have:
                // a key written after this read may sort after all that it found.
                let later = ops.iter().skip(i + 1).filter(|op| has_one_result(op)).count();
                let mut last: Option<String> = None;
                while results.len() > later
                    && let Some(pair) = results.next_if(|pair| {
                        pair.key.starts_with(prefix.as_str())
                            && last.as_ref().is_none_or(|last| pair.key > *last)
                    })
                {
                    last = Some(pair.key.clone());
                    entries.push(pair.entry(call)?);
                }
            }
            Op::CheckAbsent(_) | Op::Delete(_) | Op::DeleteCas(..) | Op::DeleteTree(_) => {}
        }
    }
    match results.next() {
        None => Ok(entries),
        Some(pair) => Err(call.malformed(format!("a result for {}, which nothing asked for", pair.key))),
    }
}

fn has_one_result(op: &Op) -> bool {
    match op {
        Op::Get(_) | Op::Set(..) | Op::Cas(..) | Op::Lock(..) | Op::Unlock(..) => true,
        Op::CheckSession(..) | Op::CheckIndex(..) => true,
        Op::GetTree(_) | Op::CheckAbsent(_) => false,
        Op::Delete(_) | Op::DeleteCas(..) | Op::DeleteTree(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ops: &[Op]) -> String {
        let error = body("x", ops).unwrap_err();
        assert!(matches!(error, StoreError::Request { .. }) && !error.effect_may_have_happened());
        error.to_string()
    }

    #[test]
    fn a_transaction_over_a_limit_is_not_sent_and_says_which() {
        assert!(message(&[]).contains("has 0"));
        assert!(message(&vec![Op::Get("a".into()); 65]).contains("has 65"));
        assert!(body("x", &vec![Op::Get("a".into()); 64]).is_ok());
        let huge = Op::Set("k".into(), vec![0; MAX_VALUE_BYTES + 1]);
        assert!(message(&[huge]).contains("value of k"));
        // Within the limit as a value, beyond it in base64.
        assert!(message(&[Op::Set("k".into(), vec![0; 400_000])]).contains("as JSON"));
        assert!(body("x", &[Op::GetTree("node1/general".into())]).is_ok());
        assert!(message(&[Op::DeleteTree("node1".into())]).contains("'/'"));
        assert!(message(&[Op::CheckIndex("k".into(), 0)]).contains("index 0"));
        assert!(message(&[Op::Get(String::new())]).contains("without a key"));
    }

    fn pair(key: &str, modify_index: u64, value: Option<&str>) -> Pair {
        Pair { key: key.into(), value: value.map(|v| STANDARD.encode(v)), modify_index, session: None }
    }

    #[test]
    fn results_are_matched_with_the_operations_that_made_them() {
        let ops = [
            Op::CheckIndex("t/b".into(), 3),
            Op::Get("t/b".into()),
            Op::GetTree("t/".into()),
            Op::Set("t/z".into(), b"new".to_vec()),
            Op::Delete("t/a".into()),
            Op::CheckAbsent("q".into()),
        ];
        let results = vec![
            pair("t/b", 3, None),
            pair("t/b", 3, Some("B")),
            pair("t/a", 2, Some("A")),
            pair("t/b", 3, Some("B")),
            pair("t/z", 9, None),
        ];
        let call = Call::get("x", "txn");
        let seen = committed(&call, &ops, results)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.key, entry.modify_index, String::from_utf8(entry.value).unwrap()))
            .collect::<Vec<_>>();
        let expected = [("t/b", 3, "B"), ("t/a", 2, "A"), ("t/b", 3, "B"), ("t/z", 9, "")];
        assert_eq!(seen, expected.map(|(key, index, value)| (key.to_owned(), index, value.to_owned())));
    }

    #[test]
    fn an_answer_with_too_little_or_too_much_is_not_believed() {
        let call = Call::get("x", "txn");
        let set = [Op::Set("a".into(), vec![])];
        for results in [vec![], vec![pair("b", 1, None)], vec![pair("a", 1, None), pair("b", 1, None)]] {
            assert!(matches!(committed(&call, &set, results), Err(StoreError::Malformed { .. })));
        }
        let reply = Reply { results: None, errors: Some(vec![ReplyError { op_index: 7, what: "x".into() }]) };
        assert!(matches!(refused(&call, &set, reply), Err(StoreError::Malformed { .. })));
    }
}
