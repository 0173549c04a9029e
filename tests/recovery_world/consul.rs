//! Consul's key-value store with its real semantics (1.8.7, see the notes on each rule).

use std::collections::BTreeMap;
use std::time::Duration;

use nova_ha::store::{Entry, Op, Refusal, SessionId, SessionSpec, TxnOutcome};

#[derive(Clone, PartialEq)]
struct Value {
    bytes: Vec<u8>,
    modify_index: u64,
    session: Option<String>,
}

struct Session {
    ttl: Duration,
    lock_delay: Duration,
    ends: Duration,
}

#[derive(Default)]
pub(crate) struct Kv {
    entries: BTreeMap<String, Value>,
    sessions: BTreeMap<String, Session>,
    delayed: BTreeMap<String, Duration>,
    index: u64,
    made: u64,
}

/// Keys as they were once.
pub(crate) struct KvSnapshot(BTreeMap<String, Value>);

impl Kv {
    pub(crate) fn snapshot(&self) -> KvSnapshot {
        KvSnapshot(self.entries.clone())
    }

    /// As `consul snapshot restore`: sessions are gone, and the index goes on from where it was.
    pub(crate) fn restore(&mut self, snapshot: KvSnapshot) {
        self.entries = snapshot.0;
        self.sessions.clear();
        self.delayed.clear();
    }

    pub(crate) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).map(|value| entry(key, value, true))
    }

    /// Of a key, where it is.
    pub(crate) fn modify_index(&self, key: &str) -> Option<u64> {
        self.entries.get(key).map(|value| value.modify_index)
    }

    pub(crate) fn below(&self, prefix: &str) -> Vec<Entry> {
        let from = self.entries.range(prefix.to_owned()..);
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(k, v)| entry(k, v, true)).collect()
    }

    pub(crate) fn put(&mut self, key: &str, bytes: impl Into<Vec<u8>>) -> u64 {
        self.index += 1;
        let index = self.index;
        write(&mut self.entries, key, bytes.into(), index, None)
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.remove(key);
    }

    pub(crate) fn session(&mut self, spec: &SessionSpec, now: Duration) -> SessionId {
        self.made += 1;
        self.index += 1;
        let id = format!("session-{:04}", self.made);
        let session = Session { ttl: spec.ttl, lock_delay: spec.lock_delay, ends: now + spec.ttl };
        self.sessions.insert(id.clone(), session);
        SessionId(id)
    }

    pub(crate) fn renew(&mut self, id: &SessionId, now: Duration) -> bool {
        match self.sessions.get_mut(&id.0) {
            Some(session) => {
                session.ends = now + session.ttl;
                true
            }
            None => false,
        }
    }

    /// The session's locks are released and stay closed for its lock-delay.
    pub(crate) fn end_session(&mut self, id: &str, now: Duration) {
        let Some(session) = self.sessions.remove(id) else { return };
        self.index += 1;
        for (key, value) in &mut self.entries {
            if value.session.as_deref() == Some(id) {
                value.session = None;
                value.modify_index = self.index;
                self.delayed.insert(key.clone(), now + session.lock_delay);
            }
        }
    }

    /// When the next session runs out. Consul may take up to twice as long; the shortest is worst.
    pub(crate) fn next_expiry(&self) -> Option<(Duration, String)> {
        self.sessions.iter().map(|(id, session)| (session.ends, id.clone())).min()
    }

    pub(crate) fn lock_holder(&self, key: &str) -> Option<String> {
        self.entries.get(key)?.session.clone()
    }

    /// All or nothing; every refusing operation is told, as Consul does.
    pub(crate) fn transact(&mut self, ops: &[Op], now: Duration) -> TxnOutcome {
        self.index += 1;
        let index = self.index;
        let mut next: Option<BTreeMap<String, Value>> = None;
        let mut answers = Vec::new();
        let mut refusals = Vec::new();
        for op in ops {
            let entries = match op {
                Op::Get(_)
                | Op::GetTree(_)
                | Op::CheckSession(..)
                | Op::CheckIndex(..)
                | Op::CheckAbsent(_) => next.as_mut().unwrap_or(&mut self.entries),
                _ => next.get_or_insert_with(|| self.entries.clone()),
            };
            let mut no = |what: String| refusals.push(Refusal { key: op.key().to_owned(), what });
            match op {
                Op::Get(key) => match entries.get(key) {
                    Some(value) => answers.push(entry(key, value, true)),
                    None => no(format!("key {key:?} doesn't exist")),
                },
                Op::GetTree(prefix) => answers.extend(
                    entries
                        .range(prefix.clone()..)
                        .take_while(|(key, _)| key.starts_with(prefix))
                        .map(|(key, value)| entry(key, value, true)),
                ),
                Op::Set(key, bytes) => {
                    write(entries, key, bytes.clone(), index, None);
                    answers.push(entry(key, &entries[key], false));
                }
                Op::Cas(key, bytes, seen) => {
                    let is = entries.get(key).map_or(0, |value| value.modify_index);
                    if is == *seen {
                        write(entries, key, bytes.clone(), index, None);
                        answers.push(entry(key, &entries[key], false));
                    } else {
                        no(format!("failed to set key {key:?}, index is stale"));
                    }
                }
                Op::Lock(key, bytes, session) => {
                    let held = entries.get(key).and_then(|value| value.session.clone());
                    if !self.sessions.contains_key(&session.0) {
                        no(format!("invalid session {:?}", session.0));
                    } else if held.as_ref().is_some_and(|other| *other != session.0) {
                        no(format!("failed to lock key {key:?}, lock is already held"));
                    } else if held.is_none() && self.delayed.get(key).is_some_and(|until| *until > now) {
                        no(format!("key {key:?} is in its lock-delay"));
                    } else {
                        write(entries, key, bytes.clone(), index, Some(Some(session.0.clone())));
                        answers.push(entry(key, &entries[key], false));
                    }
                }
                Op::Unlock(key, bytes, session) => {
                    if entries.get(key).and_then(|value| value.session.as_ref()) == Some(&session.0) {
                        write(entries, key, bytes.clone(), index, Some(None));
                        answers.push(entry(key, &entries[key], false));
                    } else {
                        no(format!("failed to unlock key {key:?}, lock isn't held, or is held by another"));
                    }
                }
                Op::CheckSession(key, session) => {
                    match entries.get(key).map(|value| value.session.as_ref()) {
                        Some(Some(holder)) if *holder == session.0 => {
                            answers.push(entry(key, &entries[key], false));
                        }
                        Some(other) => no(format!("current session {other:?} is not {:?}", session.0)),
                        None => no(format!("failed to check session, key {key:?} doesn't exist")),
                    }
                }
                Op::CheckIndex(key, seen) => match entries.get(key) {
                    Some(value) if value.modify_index == *seen => answers.push(entry(key, value, false)),
                    Some(value) => no(format!("current modify index {} is not {seen}", value.modify_index)),
                    None => no(format!("failed to check index, key {key:?} doesn't exist")),
                },
                Op::CheckAbsent(key) => {
                    if entries.contains_key(key) {
                        no(format!("key {key:?} exists"));
                    }
                }
                Op::Delete(key) => drop(entries.remove(key)),
                Op::DeleteCas(key, seen) => match entries.get(key) {
                    Some(value) if value.modify_index != *seen => {
                        no(format!("failed to delete key {key:?}, index is stale"));
                    }
                    Some(_) | None => drop(entries.remove(key)),
                },
                Op::DeleteTree(prefix) => entries.retain(|key, _| !key.starts_with(prefix)),
            }
        }
        if !refusals.is_empty() {
            return TxnOutcome::Refused(refusals);
        }
        if let Some(next) = next {
            self.entries = next;
        }
        TxnOutcome::Committed(answers)
    }
}

/// Consul drops a write that changes nothing: the key keeps its ModifyIndex.
fn write(
    entries: &mut BTreeMap<String, Value>,
    key: &str,
    bytes: Vec<u8>,
    index: u64,
    session: Option<Option<String>>,
) -> u64 {
    let before = entries.get(key);
    let session = session.unwrap_or_else(|| before.and_then(|value| value.session.clone()));
    match before {
        Some(value) if value.bytes == bytes && value.session == session => value.modify_index,
        _ => {
            entries.insert(key.to_owned(), Value { bytes, modify_index: index, session });
            index
        }
    }
}

fn entry(key: &str, value: &Value, with_value: bool) -> Entry {
    Entry {
        key: key.to_owned(),
        value: if with_value { value.bytes.clone() } else { Vec::new() },
        modify_index: value.modify_index,
        session: value.session.clone().map(SessionId),
    }
}
