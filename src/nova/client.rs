//! The client of one cloud: a call with token, microversion, deadline and, for reads, repetition.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::auth::{Login, Session};
use super::clouds::CloudSettings;
use super::error::NovaError;
use super::http::{Answer, Outgoing, Timing, Transport, secret_value};
use super::ids::{Microversion, TokenId};
use super::tokens::KeptTokens;

/// A client of one cloud. Cheap to share by reference; nothing is sent before the first call.
#[derive(Debug)]
pub struct NovaClient {
    pub(super) transport: Transport,
    pub(super) login: Login,
    pub(super) kept: KeptTokens,
}

/// One call to Nova, without what every call has.
#[derive(Debug, Clone)]
pub(super) struct NovaCall<'a> {
    method: Method,
    /// Below the compute address.
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    version: Microversion,
    body: Option<Value>,
    /// Asked of the image store instead; it has no microversions.
    image_store: bool,
}

impl<'a> NovaCall<'a> {
    /// A read: repeated when no usable answer comes.
    pub(super) fn read(path: &[&'a str], version: Microversion) -> Self {
        Self {
            method: Method::GET,
            path: path.to_vec(),
            query: Vec::new(),
            version,
            body: None,
            image_store: false,
        }
    }

    /// A read of the image store.
    pub(super) fn read_image_store(path: &[&'a str]) -> Self {
        Self { image_store: true, ..Self::read(path, Microversion::two(1)) }
    }

    /// An effect: sent once.
    pub(super) fn effect(method: Method, path: &[&'a str], version: Microversion, body: Value) -> Self {
        Self { method, path: path.to_vec(), query: Vec::new(), version, body: Some(body), image_store: false }
    }

    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    fn is_effect(&self) -> bool {
        self.method != Method::GET
    }
}

impl NovaClient {
    /// A client with these settings.
    pub fn new(settings: CloudSettings, timing: Timing) -> Self {
        Self {
            kept: KeptTokens::in_memory(&settings.auth_url),
            login: Login::new(settings.clone()),
            transport: Transport::new(settings, timing),
        }
    }

    /// The same, which keeps the tokens of its effects where the next process on this machine finds them.
    pub fn keeping_tokens(mut self, folder: std::path::PathBuf) -> Self {
        self.kept = self.kept.in_folder(folder);
        self
    }

    pub(super) async fn session(&self) -> Result<Session, NovaError> {
        let deadline = Instant::now() + self.transport.timing.read;
        self.repeat(deadline, || self.login.session(&self.transport, deadline)).await
    }

    /// Makes the call; any answer but a success is an error.
    pub(super) async fn call(&self, call: &NovaCall<'_>) -> Result<Answer, NovaError> {
        let timing = &self.transport.timing;
        if call.is_effect() {
            let deadline = Instant::now() + timing.effect;
            return self.attempt(call, deadline).await;
        }
        let deadline = Instant::now() + timing.read;
        self.repeat(deadline, || self.attempt(call, deadline)).await
    }

    /// Makes the call with this token and no other; what is told of it elsewhere is then true. A token that Nova refuses,
    /// or that is not the present one any more, is an error that did nothing.
    pub(super) async fn call_with(&self, call: &NovaCall<'_>, token: &TokenId) -> Result<Answer, NovaError> {
        let deadline = Instant::now() + self.transport.timing.effect;
        let session = self.login.session(&self.transport, deadline).await?;
        if session.id != *token {
            let why = "the token that it was to be sent with is not the present one any more".to_owned();
            return Err(NovaError::NotSent { why });
        }
        let answer = self.send(call, &session, deadline).await?;
        if answer.status == StatusCode::UNAUTHORIZED {
            self.login.forget(&session).await;
        }
        accept(answer, call.version)
    }

    /// A read of another service of the same cloud, which takes the same token.
    pub(super) async fn read_elsewhere(
        &self,
        url: &Url,
        version: (&'static str, Microversion),
    ) -> Result<Answer, NovaError> {
        let deadline = Instant::now() + self.transport.timing.read;
        let once = || async {
            let mut session = self.login.session(&self.transport, deadline).await?;
            let mut answer = self.send_elsewhere(url, version, &session, deadline).await?;
            if answer.status == StatusCode::UNAUTHORIZED {
                self.login.forget(&session).await;
                session = self.login.session(&self.transport, deadline).await?;
                answer = self.send_elsewhere(url, version, &session, deadline).await?;
            }
            accept(answer, version.1)
        };
        self.repeat(deadline, once).await
    }

    async fn send_elsewhere(
        &self,
        url: &Url,
        (service, version): (&'static str, Microversion),
        session: &Session,
        deadline: Instant,
    ) -> Result<Answer, NovaError> {
        let mut headers = with_token(session)?;
        if let Ok(value) = HeaderValue::from_str(&format!("{service} {version}")) {
            headers.insert("OpenStack-API-Version", value);
        }
        let out = Outgoing { method: Method::GET, url: url.clone(), effect: false, headers, body: None };
        self.transport.exchange(out, deadline).await
    }

    /// For what changes nothing: again after a pause while that may help and time is left.
    async fn repeat<T, F>(&self, deadline: Instant, attempt: impl Fn() -> F) -> Result<T, NovaError>
    where
        F: Future<Output = Result<T, NovaError>>,
    {
        let timing = &self.transport.timing;
        let mut pause = timing.backoff;
        for _ in 1..timing.read_tries {
            let error = match attempt().await {
                Ok(done) => return Ok(done),
                Err(error) if !error.is_retryable() => return Err(error),
                Err(error) => error,
            };
            let asked = match &error {
                NovaError::Throttled { retry_after, .. } => *retry_after,
                _ => None,
            };
            let wait = spread(asked.unwrap_or(pause).min(timing.backoff_limit));
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            tracing::warn!(%error, ?wait, "reading from the cloud again");
            tokio::time::sleep(wait).await;
            pause = pause.saturating_mul(2);
        }
        attempt().await
    }

    /// Once; or twice where Nova says 401, which means that it did nothing: tokens end early when
    /// keystone's keys are rotated or its database is restored.
    async fn attempt(&self, call: &NovaCall<'_>, deadline: Instant) -> Result<Answer, NovaError> {
        let session = self.login.session(&self.transport, deadline).await?;
        let answer = self.send(call, &session, deadline).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return accept(answer, call.version);
        }
        self.login.forget(&session).await;
        let session = self.login.session(&self.transport, deadline).await?;
        accept(self.send(call, &session, deadline).await?, call.version)
    }

    async fn send(
        &self,
        call: &NovaCall<'_>,
        session: &Session,
        deadline: Instant,
    ) -> Result<Answer, NovaError> {
        let mut headers = with_token(session)?;
        // Both spellings: the first is all that Nova before 2.27 reads.
        for (name, text) in [
            ("X-OpenStack-Nova-API-Version", call.version.to_string()),
            ("OpenStack-API-Version", format!("compute {}", call.version)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        let base = match (&session.image, call.image_store) {
            (_, false) => &session.compute,
            (Some(image), true) => image,
            (None, true) => {
                let why = "the catalog has no one image store for this interface and region".to_owned();
                return Err(NovaError::NotSent { why });
            }
        };
        let url = address(base, call);
        let out = Outgoing {
            method: call.method.clone(),
            url,
            effect: call.is_effect(),
            headers,
            body: call.body.as_ref(),
        };
        self.transport.exchange(out, deadline).await
    }
}

/// The headers of every call that keystone lets in.
pub(super) fn with_token(session: &Session) -> Result<HeaderMap, NovaError> {
    let token = secret_value(session.token.expose_secret());
    let token = token.ok_or_else(|| NovaError::NotSent { why: "the token is no header value".to_owned() })?;
    let mut headers = HeaderMap::new();
    headers.insert("X-Auth-Token", token);
    Ok(headers)
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn refusal_in(status: StatusCode, headers: HeaderMap, body: &[u8]) -> Option<NovaError> {
    let answer = Answer { status, headers, ..Answer::of_200(body) };
    let _date = answer.date();
    accept(answer, Microversion::two(1)).err()
}

fn accept(answer: Answer, version: Microversion) -> Result<Answer, NovaError> {
    match answer.status.as_u16() {
        200 | 202 | 204 => Ok(answer),
        _ => Err(answer.refusal(Some(version))),
    }
}

fn address(compute: &Url, call: &NovaCall<'_>) -> Url {
    let mut url = compute.clone();
    if call.path.is_empty() {
        // With a project in the address the version document is one step up.
        let root = url.path().split_inclusive("/v2.1").next().unwrap_or_default().to_owned();
        url.set_path(&format!("{root}/"));
        return url;
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(&call.path);
    }
    if !call.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&call.query);
    }
    url
}

/// Between half and the whole of it, so that those who failed together do not return together.
fn spread(pause: Duration) -> Duration {
    let half = pause / 2;
    let share = u32::from(uuid::Uuid::new_v4().as_bytes()[0]);
    half + half * share / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped_and_keep_the_project() {
        let compute = Url::parse("http://a:8774/compute/v2.1/0abc").unwrap();
        let call = NovaCall::read(&["servers", "detail"], Microversion::two(73)).with("host", "a&b=c");
        assert_eq!(
            address(&compute, &call).as_str(),
            "http://a:8774/compute/v2.1/0abc/servers/detail?host=a%26b%3Dc"
        );
    }

    #[test]
    fn pauses_are_spread_over_their_upper_half() {
        for _ in 0..100 {
            let wait = spread(Duration::from_millis(200));
            assert!((Duration::from_millis(100)..=Duration::from_millis(200)).contains(&wait), "{wait:?}");
        }
    }
}
