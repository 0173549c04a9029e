//! One HTTP exchange: with a deadline, a bounded answer, and an error that says what may have
//! happened. It knows nothing of tokens, versions or retries.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Identity, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::Instant;
use url::Url;

use super::clouds::CloudSettings;
use super::error::{Call, ConfigError, NovaError};
use super::ids::{Microversion, RequestId};

/// An idle connection is not used again after this. Below the shortest keep-alive of the servers that
/// run these APIs (gunicorn 2 s, Apache 5 s): a request that meets the server's close is *lost*, and
/// an effect that was lost costs a reading to find out.
const IDLE: Duration = Duration::from_millis(1500);

/// The limits of every call.
#[derive(Debug, Clone)]
pub struct Timing {
    /// To connect. Below `attempt`, so that a dead address can be told from a slow answer.
    pub connect: Duration,
    /// One exchange, from connecting to the last byte. Nova's own timeout for a cell that does not
    /// answer is 60 s by default: waiting for it would cost more than asking again.
    pub attempt: Duration,
    /// A read with all its repetitions.
    pub read: Duration,
    /// An effect, with the login that it may need first; never repeated. Must stay below the
    /// lock-delay of the incident's session (60 s by default), so that no effect of a lost lease
    /// reaches Nova after the next holder began.
    pub effect: Duration,
    /// How often a read is tried in all.
    pub read_tries: u32,
    /// The pause before the first repetition; each further one doubles it.
    pub backoff: Duration,
    /// The longest pause, also against a longer `Retry-After`.
    pub backoff_limit: Duration,
    /// The longest answer that is read, in bytes. A page of 1,000 servers has about 4 MB.
    pub body_limit: usize,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(20),
            read: Duration::from_secs(60),
            effect: Duration::from_secs(30),
            read_tries: 4,
            backoff: Duration::from_millis(250),
            backoff_limit: Duration::from_secs(5),
            body_limit: 64 * 1024 * 1024,
        }
    }
}

impl Timing {
    /// The same with no effect, nor any part of one, taking longer than `limit`: for a lock-delay
    /// that policy made shorter than the default.
    pub fn with_effects_within(mut self, limit: Duration) -> Self {
        self.effect = self.effect.min(limit);
        self.attempt = self.attempt.min(limit);
        self.connect = self.connect.min(limit / 2);
        self
    }
}

/// A request as it goes out.
pub(super) struct Outgoing<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Whether it changes something.
    pub(super) effect: bool,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<&'a Value>,
}

/// A whole answer of any status.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) call: Box<Call>,
}

impl Answer {
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, NovaError> {
        serde_json::from_slice(&self.body).map_err(|error| self.malformed(error.to_string()))
    }

    /// `Date` of the answer, to the second; `None` where there is none that can be understood.
    pub(super) fn date(&self) -> Option<jiff::Timestamp> {
        let text = self.headers.get(reqwest::header::DATE)?.to_str().ok()?;
        jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
    }

    pub(super) fn malformed(&self, why: impl Into<String>) -> NovaError {
        NovaError::Malformed { call: self.call.clone(), why: why.into() }
    }

    /// The error that this status means; for answers that are no success.
    pub(super) fn refusal(self, version: Option<Microversion>) -> NovaError {
        let message = message_of(&self.body);
        let call = self.call;
        match (self.status.as_u16(), version) {
            (400, _) => NovaError::BadRequest { call, message },
            (401, _) => NovaError::Unauthorized { call, message },
            (403, _) => NovaError::Forbidden { call, message },
            (404, _) => NovaError::NotFound { call, message },
            (406, Some(version)) => NovaError::VersionRefused { call, version, message },
            (409, _) => NovaError::Conflict { call, message },
            (413 | 429, _) => {
                let seconds =
                    self.headers.get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                NovaError::Throttled { call, retry_after: seconds.map(Duration::from_secs) }
            }
            (status @ 500..=599, _) => NovaError::ServerFault { call, status, message },
            (status, _) => NovaError::UnexpectedStatus { call, status, message },
        }
    }
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
impl Answer {
    pub(super) fn of_200(body: &[u8]) -> Self {
        let call = Call {
            method: Method::GET,
            url: "http://127.0.0.1/".to_owned(),
            our_id: RequestId::ours(),
            nova_id: None,
            effect: false,
        };
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body: body.to_vec(), call: Box::new(call) }
    }
}

/// The HTTP clients of one cloud, made when first needed: keystone and Nova may differ in scheme.
#[derive(Debug)]
pub(super) struct Transport {
    settings: CloudSettings,
    pub(super) timing: Timing,
    plain: OnceLock<Client>,
    secure: OnceLock<Client>,
}

impl Transport {
    pub(super) fn new(settings: CloudSettings, timing: Timing) -> Self {
        Self { settings, timing, plain: OnceLock::new(), secure: OnceLock::new() }
    }

    /// The cloud's name in `clouds.yaml`, or `envvars`.
    pub(super) fn cloud(&self) -> &str {
        &self.settings.name
    }

    /// Where its settings are.
    pub(super) fn file(&self) -> &str {
        &self.settings.file
    }

    fn unusable(&self, source: ConfigError) -> NovaError {
        let (cloud, file) = (self.settings.name.clone(), self.settings.file.clone());
        NovaError::Settings { cloud, file, source: Box::new(source) }
    }

    pub(super) async fn exchange(&self, out: Outgoing<'_>, deadline: Instant) -> Result<Answer, NovaError> {
        let our_id = RequestId::ours();
        let mut call = Box::new(Call {
            method: out.method.clone(),
            url: out.url.to_string(),
            our_id: our_id.clone(),
            nova_id: None,
            effect: out.effect,
        });
        let client = self.client(&out.url).map_err(|source| self.unusable(source))?;
        let allowed = deadline.saturating_duration_since(Instant::now()).min(self.timing.attempt);
        if allowed.is_zero() {
            return Err(NovaError::NotSent { why: format!("{call}: no time was left") });
        }
        let mut request =
            client.request(out.method, out.url).headers(out.headers).header("Accept", "application/json");
        // The services log it as the global request id.
        request = request.header("X-OpenStack-Request-ID", our_id.as_str());
        if let Some(body) = out.body {
            request = request.json(body);
        }
        let began = Instant::now();
        let outcome =
            tokio::time::timeout(allowed, receive(request, &mut call, self.timing.body_limit)).await;
        let took = began.elapsed().as_millis();
        match &outcome {
            Ok(Ok(answer)) => {
                tracing::debug!(call = %answer.call, status = answer.status.as_u16(), took, "cloud")
            }
            Ok(Err(error)) => tracing::debug!(%error, took, "cloud"),
            Err(_) => tracing::debug!(%call, took, "cloud: no whole answer in time"),
        }
        outcome.unwrap_or(Err(NovaError::Timeout { call, after: allowed }))
    }

    fn client(&self, url: &Url) -> Result<&Client, ConfigError> {
        let tls = url.scheme() == "https";
        let slot = if tls { &self.secure } else { &self.plain };
        if let Some(client) = slot.get() {
            return Ok(client);
        }
        let made = self.build(tls)?;
        Ok(slot.get_or_init(|| made))
    }

    fn build(&self, tls: bool) -> Result<Client, ConfigError> {
        let tls_error = |source| ConfigError::Tls { cloud: self.settings.name.clone(), source };
        // Another part of the process may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .connect_timeout(self.timing.connect)
            .tcp_nodelay(true)
            .pool_idle_timeout(IDLE)
            // A redirect could carry the token elsewhere; no API here redirects.
            .redirect(reqwest::redirect::Policy::none())
            // Recovery must not depend on a proxy that a login shell happened to set.
            .no_proxy();
        if !tls {
            // Without this, building fails on machines that have no CA bundle.
            return builder.tls_certs_only([]).build().map_err(tls_error);
        }
        if let Some(file) = &self.settings.cacert {
            let bundle = Certificate::from_pem_bundle(&read(file)?).map_err(tls_error)?;
            if bundle.is_empty() {
                let why = format!("no certificate in {}", file.display());
                let (cloud, file) = (self.settings.name.clone(), self.settings.file.clone());
                return Err(ConfigError::Invalid { cloud, file, field: "cacert", why });
            }
            builder = builder.tls_certs_only(bundle);
        }
        if let Some((cert, key)) = &self.settings.client_certificate {
            let mut pem = read(cert)?;
            if let Some(key) = key {
                pem.push(b'\n');
                pem.extend(read(key)?);
            }
            builder = builder.identity(Identity::from_pem(&pem).map_err(tls_error)?);
        }
        if !self.settings.verify {
            tracing::warn!(cloud = self.settings.name, "certificates are not checked: verify is false");
            builder = builder.tls_danger_accept_invalid_certs(true);
        }
        builder.build().map_err(tls_error)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ConfigError> {
    std::fs::read(file).map_err(|source| ConfigError::Read { file: file.to_owned(), source })
}

async fn receive(
    request: reqwest::RequestBuilder,
    call: &mut Box<Call>,
    limit: usize,
) -> Result<Answer, NovaError> {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) => {
            let (call, never_sent) = (call.clone(), error.is_connect() || error.is_builder());
            let source = error.without_url();
            return Err(if never_sent {
                NovaError::Unreachable { call, source }
            } else {
                NovaError::Lost { call, source }
            });
        }
    };
    let headers = response.headers().clone();
    call.nova_id = ["x-openstack-request-id", "x-compute-request-id"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok()?.parse().ok());
    let too_large = |call: &Call| NovaError::TooLarge { call: Box::new(call.clone()), limit };
    if response.content_length().is_some_and(|length| length > limit as u64) {
        return Err(too_large(call));
    }
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > limit => return Err(too_large(call)),
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break,
            Err(error) => return Err(NovaError::Lost { call: call.clone(), source: error.without_url() }),
        }
    }
    Ok(Answer { status: response.status(), headers, body, call: call.clone() })
}

/// What an error body says: `{"badRequest": {"message": ...}}`, keystone's `{"error": ...}`, or the
/// first words of whatever a proxy sent. Bounded, because it ends up in journals.
fn message_of(body: &[u8]) -> String {
    let parsed: Option<Value> = serde_json::from_slice(body).ok();
    let said = parsed.as_ref().and_then(|value| {
        let inner = value.as_object()?.values().next()?;
        inner.get("message")?.as_str()
    });
    let text = said.map_or_else(
        || String::from_utf8_lossy(body.get(..1024).unwrap_or(body)).into_owned(),
        str::to_owned,
    );
    let words = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ").chars().take(500).collect()
}

/// A header value that is never shown in a log.
pub(super) fn secret_value(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_lock_delay_shortens_effects_and_their_parts() {
        let timing = Timing::default().with_effects_within(Duration::from_secs(4));
        assert!(timing.connect < timing.attempt && timing.attempt <= timing.effect);
        assert_eq!(timing.effect, Duration::from_secs(4));
        let default = Timing::default();
        assert!(default.connect < default.attempt && default.attempt < default.effect);
        assert_eq!(Timing::default().with_effects_within(Duration::from_secs(60)).effect, default.effect);
    }

    #[test]
    fn the_message_of_an_error_is_one_bounded_line() {
        let nova = br#"{"badRequest": {"code": 400, "message": "Compute service of c1\n is still in use."}}"#;
        assert_eq!(message_of(nova), "Compute service of c1 is still in use.");
        assert_eq!(message_of(b"<html>\n no </html>"), "<html> no </html>");
        assert_eq!(message_of(&vec![b'x'; 10_000]).len(), 500);
        assert_eq!(message_of(b"[1]"), "[1]");
    }
}
