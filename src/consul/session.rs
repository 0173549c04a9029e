//! Sessions that only their TTL ends.

use serde::Deserialize;
use serde_json::json;

use super::http::{Answer, Answered, Call, Http, percent};
use super::words::says_gone;
use crate::store::{Renewal, SessionId, SessionSpec, StoreError};

#[derive(Debug, Deserialize)]
struct Created {
    #[serde(rename = "ID")]
    id: String,
}

/// `Checks` is empty on purpose: absent, Consul binds the session to `serfHealth`, and one flap of
/// gossip would take the lock from a recovery in mid-flight. `release` keeps the key and its value
/// when the session ends; `delete` would remove the incident's lock key.
///
/// Not repeated on an error after which it may have been made: a second session would be an orphan until its TTL, and do no
/// harm, but whether to go on without an answer is the caller's decision.
pub(super) async fn create(http: &Http, spec: &SessionSpec) -> Result<SessionId, StoreError> {
    let body = json!({
        "Name": spec.name,
        "TTL": format!("{}ms", spec.ttl.as_millis()),
        "LockDelay": format!("{}ms", spec.lock_delay.as_millis()),
        "Behavior": "release",
        "Checks": [],
    });
    let call =
        Call::put(format!("create session {}", spec.name), "session/create", body.to_string().into_bytes());
    let created: Created = http.write(&call).await?.json(&call)?;
    if created.id.is_empty() {
        return Err(call.malformed("the session has no id"));
    }
    Ok(SessionId(created.id))
}

/// One attempt: who renews does so in a rhythm of his own and counts what fails.
pub(super) async fn renew(http: &Http, session: &SessionId) -> Result<Renewal, StoreError> {
    let path = format!("session/renew/{}", percent(&session.0, b""));
    let call = Call::put(format!("renew session {session}"), path, Vec::new());
    renewal(&http.once(&call).await?, session, &call)
}

fn renewal(answer: &Answer, session: &SessionId, call: &Call) -> Result<Renewal, StoreError> {
    match answer.status {
        Answered::Absent => absent(call, session, &answer.body),
        Answered::Ok | Answered::Conflict => {
            let renewed: Vec<Created> = answer.json(call)?;
            match renewed.as_slice() {
                [one] if one.id == session.0 => Ok(Renewal::Renewed),
                _ => Err(call.malformed("it is not this one session")),
            }
        }
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn renewal_said(session: &SessionId, status: u16, body: &[u8]) -> Result<Renewal, StoreError> {
    let call = Call::put("renew a session", "session/renew", Vec::new());
    renewal(&super::http::answer(&call, status, &[], body)?, session, &call)
}

/// `Gone` ends a recovery, so it takes Consul's own words: a proxy or another server on that port
/// answers 404 too.
fn absent(call: &Call, session: &SessionId, body: &[u8]) -> Result<Renewal, StoreError> {
    let text = String::from_utf8_lossy(body);
    match says_gone(&text, &session.0) {
        true => Ok(Renewal::Gone),
        false => Err(call.malformed(format!("404, but not about the session: {text}"))),
    }
}

/// Consul answers the same to an unknown session: already so.
pub(super) async fn destroy(http: &Http, session: &SessionId) -> Result<(), StoreError> {
    let path = format!("session/destroy/{}", percent(&session.0, b""));
    let call = Call::put(format!("destroy session {session}"), path, Vec::new());
    match http.write(&call).await?.json::<bool>(&call)? {
        true => Ok(()),
        false => Err(call.malformed("it was not destroyed")),
    }
}
