//! The one place that talks to the agent: bounded in time and size, with every answer classified.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, StatusCode};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;

use super::settings::{Settings, Timeouts, wrong};
use super::tls;
use super::words::{Meaning, meaning};
use crate::say::short;
use crate::store::{Denial, StoreError};

/// Bound of an answer that lists a tree or the cluster: 1,000 hosts take 2.1 MB.
pub const LIST_LIMIT: usize = 64 * 1024 * 1024;

/// Bound of every other answer: a value is at most 512 KiB, base64 in JSON.
pub const SMALL_LIMIT: usize = 8 * 1024 * 1024;

/// A connection to one agent, and how to use it.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: Client,
    base: String,
    address: String,
    token: Option<HeaderValue>,
    datacenter: Option<String>,
    timeouts: Timeouts,
}

/// One request. `doing` completes *could not ...* and never holds a value or a token.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) doing: String,
    pub(super) method: Method,
    /// Below `/v1/`, percent-encoded.
    pub(super) path: String,
    /// Names, each with its value if it has one.
    pub(super) query: Vec<(&'static str, Option<String>)>,
    pub(super) body: Option<Vec<u8>>,
    pub(super) limit: usize,
    /// Beyond the usual deadline: how long the agent may sit on the request.
    pub(super) patience: Duration,
}

impl Call {
    pub(super) fn get(doing: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            doing: doing.into(),
            method: Method::GET,
            path: path.into(),
            query: Vec::new(),
            body: None,
            limit: SMALL_LIMIT,
            patience: Duration::ZERO,
        }
    }

    pub(super) fn put(doing: impl Into<String>, path: impl Into<String>, body: Vec<u8>) -> Self {
        Self { method: Method::PUT, body: Some(body), ..Self::get(doing, path) }
    }

    /// Linearizable: the leader asks a majority whether it still leads before it answers.
    pub(super) fn consistent(self) -> Self {
        self.flag("consistent")
    }

    pub(super) fn flag(mut self, name: &'static str) -> Self {
        self.query.push((name, None));
        self
    }

    pub(super) fn param(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, Some(value.into())));
        self
    }

    pub(super) fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    pub(super) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(super) fn malformed(&self, message: impl ToString) -> StoreError {
        StoreError::Malformed { doing: self.doing.clone(), message: one_line(&message.to_string()) }
    }
}

/// The statuses that a call may have to tell apart; every other one is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// 200
    Ok,
    /// 404, which says *absent* for keys and sessions.
    Absent,
    /// 409, which says *refused* for transactions.
    Conflict,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: Answered,
    /// `X-Consul-Index`, where the endpoint has one.
    pub(super) index: Option<u64>,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; nothing but 200 has one of the expected shape.
    pub(super) fn json<T: DeserializeOwned>(&self, call: &Call) -> Result<T, StoreError> {
        match self.status {
            Answered::Ok => serde_json::from_slice(&self.body).map_err(|error| call.malformed(error)),
            Answered::Absent => Err(self.unexpected(404, call)),
            Answered::Conflict => Err(self.unexpected(409, call)),
        }
    }

    pub(super) fn unexpected(&self, status: u16, call: &Call) -> StoreError {
        let message = one_line(&String::from_utf8_lossy(&self.body));
        StoreError::Status { status, doing: call.doing.clone(), message }
    }
}

impl Http {
    pub(super) fn new(settings: &Settings) -> Result<Self, StoreError> {
        let (client, base) = tls::client(settings)?;
        let token = settings
            .token
            .as_ref()
            .map(|token| {
                let mut value = HeaderValue::from_str(token.expose_secret()).map_err(|_| {
                    wrong("CONSUL_HTTP_TOKEN", "the token cannot be sent in a header".to_owned())
                })?;
                // Never shown by Debug, never put into HTTP/2 tables.
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        Ok(Self {
            client,
            base,
            address: settings.address.to_string(),
            token,
            datacenter: settings.datacenter.clone(),
            timeouts: settings.timeouts.clone(),
        })
    }

    /// A read: repeated a bounded number of times while the error is one that may pass.
    pub(super) async fn read(&self, call: &Call) -> Result<Answer, StoreError> {
        self.repeated(call, |error| error.is_retryable() || error.may_be_sent_again()).await
    }

    /// A write: repeated like a read where Consul says that nothing was done. After any other error nobody can know whether
    /// it happened, so repeating is the caller's decision, after a look at the tree.
    pub(super) async fn write(&self, call: &Call) -> Result<Answer, StoreError> {
        self.repeated(call, StoreError::may_be_sent_again).await
    }

    async fn repeated(
        &self,
        call: &Call,
        is_for_now: impl Fn(&StoreError) -> bool,
    ) -> Result<Answer, StoreError> {
        let mut pause = self.timeouts.backoff;
        for _ in 0..self.timeouts.retries {
            match self.once(call).await {
                Err(error) if is_for_now(&error) => {
                    let pause_now = pause + jitter(pause);
                    tracing::debug!(doing = %call.doing, %error, pause = ?pause_now, "asked again");
                    tokio::time::sleep(pause_now).await;
                    pause *= 2;
                }
                answer => return answer,
            }
        }
        self.once(call).await
    }

    /// One attempt, for who has a rhythm of their own.
    pub(super) async fn once(&self, call: &Call) -> Result<Answer, StoreError> {
        let deadline = self.timeouts.attempt.saturating_add(call.patience);
        tokio::time::timeout(deadline, self.attempt(call)).await.unwrap_or_else(|_| {
            Err(StoreError::Deadline { address: self.address.clone(), doing: call.doing.clone(), deadline })
        })
    }

    async fn attempt(&self, call: &Call) -> Result<Answer, StoreError> {
        let mut request = self.client.request(call.method.clone(), self.url(call));
        if let Some(token) = &self.token {
            request = request.header("X-Consul-Token", token.clone());
        }
        if let Some(body) = &call.body {
            request = request.header("Content-Type", "application/json").body(body.clone());
        }
        let mut response = request.send().await.map_err(|error| self.unreachable(call, error))?;
        let (status, headers) = (response.status(), response.headers().clone());

        let too_large = || StoreError::TooLarge { doing: call.doing.clone(), limit: call.limit };
        if response.content_length().is_some_and(|length| length > call.limit as u64) {
            return Err(too_large());
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(call, error))? {
            if body.len() + chunk.len() > call.limit {
                return Err(too_large());
            }
            body.extend_from_slice(&chunk);
        }
        classify(call, status, &headers, body)
    }

    fn url(&self, call: &Call) -> String {
        let mut url = format!("{}/v1/{}", self.base, call.path);
        let datacenter = self.datacenter.as_ref().map(|dc| ("dc", Some(dc.clone())));
        for (i, (name, value)) in call.query.iter().cloned().chain(datacenter).enumerate() {
            url.push(if i == 0 { '?' } else { '&' });
            url.push_str(name);
            if let Some(value) = value {
                url.push('=');
                url.push_str(&percent(&value, b""));
            }
        }
        url
    }

    fn unreachable(&self, call: &Call, error: reqwest::Error) -> StoreError {
        let (address, doing) = (self.address.clone(), call.doing.clone());
        // The connect deadline is reqwest's own, the one around the whole attempt is ours.
        if error.is_timeout() && error.is_connect() {
            return StoreError::Deadline { address, doing, deadline: self.timeouts.connect };
        }
        StoreError::Unreachable { address, doing, source: first_cause(&error.without_url()).into() }
    }
}

/// What went wrong at the bottom: the layers of libraries above it repeat that it was while sending a request.
fn first_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    one_line(&cause.to_string())
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(super) fn answer(
    call: &Call,
    status: u16,
    headers: &[(&'static str, &str)],
    body: &[u8],
) -> Result<Answer, StoreError> {
    let status = StatusCode::from_u16(status).map_err(|error| call.malformed(error))?;
    let pair = |(name, value): &(&'static str, &str)| {
        Some((reqwest::header::HeaderName::from_static(name), HeaderValue::from_str(value).ok()?))
    };
    classify(call, status, &headers.iter().filter_map(pair).collect(), body.to_vec())
}

fn classify(
    call: &Call,
    status: StatusCode,
    headers: &HeaderMap,
    body: Vec<u8>,
) -> Result<Answer, StoreError> {
    let doing = || call.doing.clone();
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answered = match status {
        StatusCode::OK => Answered::Ok,
        StatusCode::NOT_FOUND => Answered::Absent,
        StatusCode::CONFLICT => Answered::Conflict,
        _ => return Err(said_no(call, status, &text(&body))),
    };
    // Only reads carry it; without a leader they would be answered from what the server last knew.
    if header("X-Consul-KnownLeader") == Some("false") {
        return Err(StoreError::NoLeader { doing: doing() });
    }
    let index = match header("X-Consul-Index") {
        None => None,
        Some(index) => {
            Some(index.parse().map_err(|_| call.malformed(format!("X-Consul-Index is {index:?}")))?)
        }
    };
    Ok(Answer { status: answered, index, body })
}

/// What a status beyond those of [`Answered`] says. The words are asked first: a server that forwards to the leader wraps a
/// denial into a 500, and some releases answer load with 500, some with 503 and some with 429.
fn said_no(call: &Call, status: StatusCode, message: &str) -> StoreError {
    let (doing, message) = (call.doing.clone(), message.to_owned());
    match meaning(&message) {
        Meaning::Denied(why) => StoreError::Denied { doing, why, message },
        Meaning::NoLeader if status.is_server_error() => StoreError::NoLeader { doing },
        Meaning::Busy => StoreError::Busy { doing, message },
        Meaning::NoLeader | Meaning::Compared | Meaning::Other => match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                StoreError::Denied { doing, why: Denial::Permission, message }
            }
            StatusCode::TOO_MANY_REQUESTS => StoreError::Busy { doing, message },
            _ => StoreError::Status { status: status.as_u16(), doing, message },
        },
    }
}

fn text(body: &[u8]) -> String {
    one_line(&String::from_utf8_lossy(body))
}

/// Cut to one line of bounded length, with nothing in it that a terminal would obey.
fn one_line(text: &str) -> String {
    let line: String = text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    short(&line).into_owned()
}

/// Percent-encodes all but the unreserved characters and those in `keep`.
pub(super) fn percent(text: &str, keep: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Up to `most`, at random. The standard library's hasher is seeded anew each time; good enough to
/// spread retries, not for secrets.
fn jitter(most: Duration) -> Duration {
    let random = std::hash::RandomState::new().build_hasher().finish();
    most.mul_f64((random >> 11) as f64 / (1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16, leader: Option<&'static str>, body: &str) -> Result<Answer, StoreError> {
        let mut headers = HeaderMap::new();
        if let Some(leader) = leader {
            headers.insert("X-Consul-KnownLeader", HeaderValue::from_static(leader));
        }
        let status = StatusCode::from_u16(status).unwrap();
        classify(&Call::get("read a key", "kv/a"), status, &headers, body.as_bytes().to_vec())
    }

    #[test]
    fn an_answer_without_a_leader_is_not_an_answer() {
        for (status, header, body) in [
            (200, Some("false"), "[]"),
            (404, Some("false"), ""),
            (500, None, "No cluster leader"),
            (500, None, "rpc error making call: No cluster leader"),
            (500, None, "node is not the leader"),
            (500, None, "leadership lost while committing log"),
            (500, None, "No known Consul servers"),
        ] {
            let error = classified(status, header, body).unwrap_err();
            assert!(matches!(error, StoreError::NoLeader { .. }), "{status} {body}: {error}");
        }
        assert_eq!(classified(404, Some("true"), "").unwrap().status, Answered::Absent);
    }

    #[test]
    fn denied_is_told_from_absent_and_from_broken() {
        for (status, body) in [
            (403, "Permission denied"),
            (403, "ACL not found"),
            (401, "who are you"),
            (500, "rpc error making call: Permission denied"),
        ] {
            let error = classified(status, None, body).unwrap_err();
            assert!(matches!(&error, StoreError::Denied { message, .. } if message == body), "{error}");
            assert!(!error.is_retryable());
        }
        let broken = classified(500, None, "disk\nfull\u{1b}[2J").unwrap_err();
        assert_eq!(broken.to_string(), "Consul answered 500 to read a key: disk full [2J");
        assert!(broken.is_retryable() && broken.effect_may_have_happened());
        let moved = classified(301, None, "").unwrap_err();
        assert!(matches!(moved, StoreError::Status { status: 301, .. }));
    }

    #[test]
    fn of_many_layers_the_cause_is_said_and_once() {
        let lowest = std::io::Error::other("Connection\nrefused");
        let layers = std::io::Error::other(std::io::Error::other(lowest));
        assert_eq!(first_cause(&layers), "Connection refused");
    }

    #[test]
    fn everything_that_a_url_would_read_otherwise_is_encoded() {
        assert_eq!(percent("a b/%?#+é\\\"&=;~.-_", b"/"), "a%20b/%25%3F%23%2B%C3%A9%5C%22%26%3D%3B~.-_");
    }

    #[test]
    fn jitter_stays_within_its_bound() {
        let most = Duration::from_millis(200);
        assert!((0..1000).all(|_| jitter(most) <= most));
    }
}
