//! Keys and prefixes, read consistently. Writing is done in transactions only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::http::{Answer, Answered, Call, Http, LIST_LIMIT, percent};
use crate::store::{Entry, SessionId, StoreError};

/// A pair as Consul writes it. An empty value comes as `null`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pair {
    pub(super) key: String,
    pub(super) value: Option<String>,
    pub(super) modify_index: u64,
    pub(super) session: Option<String>,
}

impl Pair {
    pub(super) fn entry(self, call: &Call) -> Result<Entry, StoreError> {
        let value = match self.value {
            None => Vec::new(),
            Some(text) => STANDARD
                .decode(text)
                .map_err(|error| call.malformed(format!("value of {}: {error}", self.key)))?,
        };
        let session = self.session.filter(|id| !id.is_empty()).map(SessionId);
        Ok(Entry { key: self.key, value, modify_index: self.modify_index, session })
    }
}

/// Consistent, since what is read here is compared and set by its index, or decided on.
pub(super) fn get_call(key: &str) -> Result<Call, StoreError> {
    let doing = format!("read {key}");
    Ok(Call::get(doing.as_str(), path(&doing, key)?))
}

pub(super) fn list_call(prefix: &str) -> Result<Call, StoreError> {
    let doing = format!("read everything below {prefix}");
    Ok(Call::get(doing.as_str(), folder(&doing, prefix)?).flag("recurse").limit(LIST_LIMIT))
}

pub(super) async fn get(http: &Http, key: &str) -> Result<Option<Entry>, StoreError> {
    let call = get_call(key)?.consistent();
    entry(&http.read(&call).await?, key, &call)
}

fn entry(answer: &Answer, key: &str, call: &Call) -> Result<Option<Entry>, StoreError> {
    if is_absent(answer, call)? {
        return Ok(None);
    }
    one(answer.json(call)?, key, call).map(Some)
}

/// Consul's 404 comes with the tree's index. One without it is a proxy's or another server's on
/// that port, and would make a flag that is set read as absent, which is False.
fn is_absent(answer: &Answer, call: &Call) -> Result<bool, StoreError> {
    match (answer.status, answer.index) {
        (Answered::Ok | Answered::Conflict, _) => Ok(false),
        (Answered::Absent, Some(_)) => Ok(true),
        (Answered::Absent, None) => Err(call.malformed("404 without X-Consul-Index is not Consul's")),
    }
}

pub(super) fn one(pairs: Vec<Pair>, key: &str, call: &Call) -> Result<Entry, StoreError> {
    let mut pairs = pairs.into_iter();
    match (pairs.next(), pairs.next()) {
        (Some(pair), None) if pair.key == key => pair.entry(call),
        _ => Err(call.malformed("it is not this one key")),
    }
}

pub(super) async fn list(http: &Http, prefix: &str) -> Result<Vec<Entry>, StoreError> {
    let call = list_call(prefix)?.consistent();
    entries(&http.read(&call).await?, prefix, &call)
}

fn entries(answer: &Answer, prefix: &str, call: &Call) -> Result<Vec<Entry>, StoreError> {
    if is_absent(answer, call)? {
        return Ok(Vec::new());
    }
    all(some(answer.json(call)?, call)?, prefix, call)
}

/// Consul says 404 of what is absent, and never lists nothing: whoever does is a proxy or another server, and would make a
/// flag that is set read as absent.
fn some<T>(list: Vec<T>, call: &Call) -> Result<Vec<T>, StoreError> {
    match list.is_empty() {
        true => Err(call.malformed("an empty list is not Consul's")),
        false => Ok(list),
    }
}

pub(super) fn all(pairs: Vec<Pair>, prefix: &str, call: &Call) -> Result<Vec<Entry>, StoreError> {
    pairs
        .into_iter()
        .map(|pair| if pair.key.starts_with(prefix) { pair.entry(call) } else { Err(stray(&pair.key, call)) })
        .collect()
}

/// Names only. The prefix itself, where somebody made a folder of that name in Consul's UI, is none
/// of them.
pub(super) async fn keys(http: &Http, prefix: &str, folders: bool) -> Result<Vec<String>, StoreError> {
    let doing = format!("list the names below {prefix}");
    let mut call =
        Call::get(doing.as_str(), folder(&doing, prefix)?).flag("keys").limit(LIST_LIMIT).consistent();
    if folders {
        call = call.param("separator", "/");
    }
    names(&http.read(&call).await?, prefix, &call)
}

fn names(answer: &Answer, prefix: &str, call: &Call) -> Result<Vec<String>, StoreError> {
    if is_absent(answer, call)? {
        return Ok(Vec::new());
    }
    let mut names: Vec<String> = some(answer.json(call)?, call)?;
    if let Some(name) = names.iter().find(|name| !name.starts_with(prefix)) {
        return Err(stray(name, call));
    }
    names.retain(|name| name != prefix);
    Ok(names)
}

/// For [`crate::fuzzing`]: with an index if there is one.
#[cfg(any(test, fuzzing))]
pub(crate) fn key_said(
    key: &str,
    status: u16,
    index: Option<&str>,
    body: &[u8],
) -> Result<Option<Entry>, StoreError> {
    let call = get_call(key)?;
    entry(&said(&call, status, index, body)?, key, &call)
}

/// For [`crate::fuzzing`]: with an index if there is one.
#[cfg(any(test, fuzzing))]
pub(crate) fn list_said(
    prefix: &str,
    status: u16,
    index: Option<&str>,
    body: &[u8],
) -> Result<Vec<Entry>, StoreError> {
    let call = list_call(prefix)?;
    entries(&said(&call, status, index, body)?, prefix, &call)
}

/// For [`crate::fuzzing`]: with an index if there is one.
#[cfg(any(test, fuzzing))]
pub(crate) fn names_said(
    prefix: &str,
    status: u16,
    index: Option<&str>,
    body: &[u8],
) -> Result<Vec<String>, StoreError> {
    let call = list_call(prefix)?;
    names(&said(&call, status, index, body)?, prefix, &call)
}

#[cfg(any(test, fuzzing))]
fn said(call: &Call, status: u16, index: Option<&str>, body: &[u8]) -> Result<Answer, StoreError> {
    let headers: Vec<_> = index.map(|index| ("x-consul-index", index)).into_iter().collect();
    super::http::answer(call, status, &headers, body)
}

fn stray(key: &str, call: &Call) -> StoreError {
    call.malformed(format!("it holds {key:?}, which is not below that"))
}

/// A prefix without its `/` would read `node10` with `node1`.
fn folder(doing: &str, prefix: &str) -> Result<String, StoreError> {
    if !prefix.ends_with('/') {
        return Err(refused(doing, "the prefix does not end in '/'"));
    }
    path(doing, prefix)
}

/// Steps that a URL or Consul's router would clean away lead to another key: they are refused.
fn path(doing: &str, key: &str) -> Result<String, StoreError> {
    let steps = key.strip_suffix('/').unwrap_or(key);
    if steps.split('/').any(|step| matches!(step, "" | "." | "..")) {
        return Err(refused(doing, "the key has an empty step, '.' or '..'"));
    }
    if key.chars().any(char::is_control) {
        return Err(refused(doing, "the key has a control character"));
    }
    Ok(format!("kv/{}", percent(key, b"/")))
}

fn refused(doing: &str, message: &str) -> StoreError {
    StoreError::Request { doing: doing.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_would_lead_elsewhere_are_not_sent() {
        for key in ["", "/", "/a", "a//b", "a/../b", "..", "a/.", "a\nb"] {
            let error = get_call(key).unwrap_err();
            assert!(matches!(error, StoreError::Request { .. }), "{key:?}: {error}");
        }
        assert_eq!(get_call("a b/c%/").unwrap().path, "kv/a%20b/c%25/");
        for prefix in ["node1", "a//", "", "/"] {
            assert!(matches!(list_call(prefix), Err(StoreError::Request { .. })), "{prefix:?}");
        }
    }

    #[test]
    fn only_consuls_own_404_says_that_there_is_nothing() {
        assert!(list_said("t/", 404, Some("7"), b"").unwrap().is_empty());
        assert!(names_said("t/", 404, Some("7"), b"").unwrap().is_empty());
        // A folder that somebody made in Consul's UI.
        assert!(names_said("t/", 200, Some("7"), b"[\"t/\"]").unwrap().is_empty());
        for (status, index, body) in [
            (404, None, ""),
            (200, Some("7"), "[]"),
            (200, None, "[]"),
            (200, Some("0"), "null"),
            (200, None, ""),
        ] {
            let (list, names) = (
                list_said("t/", status, index, body.as_bytes()),
                names_said("t/", status, index, body.as_bytes()),
            );
            assert!(matches!(list, Err(StoreError::Malformed { .. })), "{status} {body:?}: {list:?}");
            assert!(matches!(names, Err(StoreError::Malformed { .. })), "{status} {body:?}: {names:?}");
        }
    }
}
