//! One conversation with a Redfish service: how a request is sent, where it may be led to, and how it logs in.
//!
//! Basic authentication first, with each request and without being asked for it; a BMC that takes none of that (401) gets a
//! session, for one conversation. BMCs have few sessions, and one that nobody ends is lost until it times out: so it ends on
//! every way out, also where whoever asked has stopped waiting. Only a process that is killed leaves one behind.
//!
//! A password goes to the server that was named, and to no other: no proxy is asked, and of redirects one is followed, of a
//! reading, to the same address with a slash more or less at its end. What switches is never sent a second time by one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, CONTENT_ENCODING, HeaderMap, LOCATION};
use reqwest::{Client, Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::access::{RedfishAccess, Verify};
use super::body::{self, Body};
use super::session::Session;
use super::words;
use crate::fence::FenceError;
use crate::fence::certificate;
use crate::fence::certificate::{Pin, Shown};
use crate::fence::said::one_line;

/// Where sessions are made, of a service whose root does not say.
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// How often an answer is asked for again that is empty, cut short or *not now*: BMCs have such moments.
const MOST_TRIES: u32 = 3;

/// Between two of them.
const PAUSE: Duration = Duration::from_millis(500);

/// How a service lets us in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Nothing was refused yet.
    Untried,
    /// It gives no session, or not to this account: a second failed login each time would lock the account sooner.
    Basic,
    /// It took no basic authentication, and gave a session.
    Session,
}

/// A service, with what is needed to talk to it.
pub(super) struct Http {
    pub(super) url: Url,
    user: String,
    pub(super) password: SecretString,
    device: String,
    client: Client,
    pinned: Option<Pin>,
    /// What it showed, where a pin is compared with it.
    shown: Shown,
    /// Wall clock of one request with its answer.
    limit: Duration,
    way: Mutex<Way>,
}

/// What was answered.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

/// A document, and where it was.
pub(super) struct Found<T> {
    pub(super) at: Url,
    pub(super) what: T,
}

/// One conversation.
pub(super) struct Talk<'a> {
    http: &'a Http,
    doing: &'static str,
    session: Option<Session>,
}

impl Http {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// The certificates that are to judge it cannot be used.
    pub(super) fn new(access: &RedfishAccess, device: &str) -> Result<Self, FenceError> {
        let bad = |why: String| FenceError::Settings { device: device.to_owned(), why };
        let mut shown = Shown::default();
        let builder = super::look::builder(access.limit);
        let builder = match (&access.verify, access.url.scheme()) {
            // No roots are loaded where none are needed: it fails on a machine without any.
            (_, "http") => builder.tls_certs_only([]),
            (Verify::Not, _) => builder.tls_certs_only([]).tls_danger_accept_invalid_certs(true),
            (Verify::System, _) => builder,
            (Verify::Pinned(pin), _) => {
                let (tls, seen) = certificate::tls(Some(*pin)).map_err(|error| bad(error.to_string()))?;
                shown = seen;
                builder.tls_backend_preconfigured(tls)
            }
            (Verify::Ca(pem), _) => match reqwest::Certificate::from_pem_bundle(pem) {
                Ok(certificates) if !certificates.is_empty() => builder.tls_certs_only(certificates),
                Ok(_) => return Err(bad("the CA file holds no certificate".into())),
                Err(error) => return Err(bad(format!("the CA file cannot be read as PEM: {error}"))),
            },
        };
        let pinned = match &access.verify {
            Verify::Pinned(pin) => Some(*pin),
            Verify::System | Verify::Ca(_) | Verify::Not => None,
        };
        let client = builder.build().map_err(|error| bad(format!("no HTTP client: {error}")))?;
        Ok(Self {
            url: access.url.clone(),
            user: access.user.clone(),
            password: access.password.clone(),
            device: device.to_owned(),
            client,
            pinned,
            shown,
            limit: access.limit,
            way: Mutex::new(Way::Untried),
        })
    }

    /// A new conversation; [`Talk::end`] ends it.
    pub(super) fn talk(&self, doing: &'static str) -> Talk<'_> {
        Talk { http: self, doing, session: None }
    }

    /// The URL of a path that the service named; never at another server.
    pub(super) fn at(&self, doing: &'static str, path: &str) -> Result<Url, FenceError> {
        let wrong = || FenceError::Malformed {
            device: self.device.clone(),
            doing,
            why: format!("{:?} is not a path below /redfish/v1/ of this server", one_line(path, &[])),
        };
        let url = self.url.join(path).map_err(|_| wrong())?;
        if self.is_below(&url) { Ok(url) } else { Err(wrong()) }
    }

    fn is_below(&self, url: &Url) -> bool {
        url.origin() == self.url.origin()
            && url.path().starts_with("/redfish/v1/")
            && url.username().is_empty()
            && url.password().is_none()
    }

    fn way(&self) -> Way {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_by(&self, way: Way) {
        *self.way.lock().unwrap_or_else(PoisonError::into_inner) = way;
    }

    /// The pinned key and the one that was shown instead of it.
    fn other_key(&self) -> Option<(Pin, Pin)> {
        let (pinned, shown) = self.pinned.zip(self.shown.pin())?;
        (pinned != shown).then_some((pinned, shown))
    }

    fn failed(&self, doing: &'static str, error: reqwest::Error) -> FenceError {
        let device = self.device.clone();
        if let Some((pinned, shown)) = self.other_key() {
            return FenceError::OtherCertificate {
                device,
                doing,
                pinned: Box::new(pinned),
                shown: Box::new(shown),
            };
        }
        if let Some(why) = super::look::too_old(&error) {
            return FenceError::OldTls { device, doing, why };
        }
        let distrust = super::look::distrust(&error);
        if let Some(distrust) = distrust.filter(|_| self.pinned.is_none()) {
            return FenceError::Untrusted { device, doing, distrust };
        }
        if error.is_timeout() && !error.is_connect() {
            return FenceError::Deadline { device, doing, deadline: self.limit };
        }
        FenceError::Unreachable { device, doing, source: Box::new(error.without_url()) }
    }
}

/// The same address with a slash more or less at its end: all that a redirect may change.
fn with_or_without_slash(from: &Url, to: &Url) -> bool {
    let path = |url: &Url| url.path().strip_suffix('/').unwrap_or(url.path()).to_owned();
    from.origin() == to.origin()
        && path(from) == path(to)
        && from.path() != to.path()
        && to.query() == from.query()
        && to.fragment().is_none()
        && to.username().is_empty()
        && to.password().is_none()
}

impl Talk<'_> {
    /// Reads a document.
    ///
    /// # Errors
    /// It is not there, or cannot be had or understood.
    pub(super) async fn get<T: DeserializeOwned>(&mut self, url: Url) -> Result<Found<T>, FenceError> {
        let shown = url.path().to_owned();
        match self.get_if_there(url).await? {
            Some(found) => Ok(found),
            None => Err(self.said(format!("HTTP 404 Not Found: {shown}"))),
        }
    }

    /// The same of one that may not be there any more.
    pub(super) async fn get_if_there<T: DeserializeOwned>(
        &mut self,
        mut url: Url,
    ) -> Result<Option<Found<T>>, FenceError> {
        let mut is_led = false;
        let mut tries = 1;
        loop {
            let reply = self.send(Method::GET, url.clone(), None).await?;
            if reply.status.is_redirection() {
                match self.leads_to(&url, &reply) {
                    Ok(to) if !is_led => {
                        is_led = true;
                        url = to;
                        continue;
                    }
                    Ok(to) => return Err(self.elsewhere(&reply, Some(to.as_str()))),
                    Err(elsewhere) => return Err(elsewhere),
                }
            }
            let momentary = match reply.status {
                StatusCode::NOT_FOUND => return Ok(None),
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => self.refusal(&reply),
                status if !status.is_success() => return Err(self.refusal(&reply)),
                _ => match self.understood(&reply.bytes) {
                    Ok(what) => return Ok(Some(Found { at: url, what })),
                    Err((true, error)) => error,
                    Err((false, error)) => return Err(error),
                },
            };
            if tries == MOST_TRIES {
                return Err(momentary);
            }
            tries += 1;
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Sends what changes something, once.
    ///
    /// # Errors
    /// It was refused, or the answer was lost.
    pub(super) async fn post(&mut self, url: Url, body: serde_json::Value) -> Result<(), FenceError> {
        let reply = self.send(Method::POST, url, Some(body)).await?;
        if reply.status.is_redirection() {
            let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(self.elsewhere(&reply, to));
        }
        if reply.status.is_success() { Ok(()) } else { Err(self.refusal(&reply)) }
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        if let Some(session) = self.session.take() {
            session.end().await;
        }
    }

    /// Whether what cannot be understood may be a moment's matter, with the error.
    fn understood<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, (bool, FenceError)> {
        words::parse(bytes).map_err(|(is_momentary, why)| (is_momentary, self.malformed(why)))
    }

    /// With whichever login the service takes.
    async fn send(
        &mut self,
        method: Method,
        url: Url,
        body: Option<serde_json::Value>,
    ) -> Result<Reply, FenceError> {
        if self.session.is_none() && self.http.way() == Way::Session {
            self.session = Some(self.log_in().await?);
        }
        let reply = self.once(method.clone(), url.clone(), body.clone()).await?;
        let is_refused = reply.status == StatusCode::UNAUTHORIZED && self.session.is_none();
        if !is_refused || self.http.way() != Way::Untried {
            return Ok(reply);
        }
        match self.log_in().await {
            Ok(session) => {
                self.http.is_by(Way::Session);
                self.session = Some(session);
                self.once(method, url, body).await
            }
            Err(FenceError::Denied { said, .. } | FenceError::Failed { said, .. }) => {
                self.http.is_by(Way::Basic);
                let said = format!(
                    "by basic authentication {}, and it gives no session either: {said}; the user or the password is wrong, \
                     or the account may not log in",
                    self.words(&reply)
                );
                Err(FenceError::Denied { device: self.http.device.clone(), doing: self.doing, said })
            }
            Err(error) => Err(error),
        }
    }

    async fn once(
        &self,
        method: Method,
        url: Url,
        body: Option<serde_json::Value>,
    ) -> Result<Reply, FenceError> {
        let http = self.http;
        let mut request = http.client.request(method, url);
        request = match &self.session {
            Some(session) => request.header("X-Auth-Token", session.token().expose_secret()),
            None => request.basic_auth(&http.user, Some(http.password.expose_secret())),
        };
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.answer(request).await
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Reply, FenceError> {
        let (http, doing) = (self.http, self.doing);
        let request = request.header("Accept", "application/json").header("OData-Version", "4.0");
        // Some compress without being asked.
        let request = request.header(ACCEPT_ENCODING, "identity");
        let mut response = request.send().await.map_err(|error| http.failed(doing, error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Body::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| http.failed(doing, error))? {
            body.add(&chunk).map_err(|why| self.malformed(why))?;
        }
        let coding = headers.get(CONTENT_ENCODING).and_then(|coding| coding.to_str().ok());
        let bytes = body.plain(coding).map_err(|why| self.malformed(why))?;
        Ok(Reply { status, headers, bytes })
    }

    /// A session of its own.
    async fn log_in(&self) -> Result<Session, FenceError> {
        let http = self.http;
        let url = self.sessions().await;
        let login = json!({ "UserName": http.user, "Password": http.password.expose_secret() });
        let reply = self.answer(http.client.post(url).json(&login)).await?;
        if reply.status.is_redirection() {
            let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok());
            return Err(self.elsewhere(&reply, to));
        }
        if !reply.status.is_success() {
            return Err(self.refusal(&reply));
        }
        let token = reply.headers.get("X-Auth-Token").and_then(|token| token.to_str().ok());
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return Err(self.said("it made a session, and gave no X-Auth-Token".to_owned()));
        };
        let named: Option<String> =
            reply.headers.get(LOCATION).and_then(|at| at.to_str().ok()).map(str::to_owned);
        let at = named.or_else(|| body::id_of(&reply.bytes));
        let at = at.and_then(|at| http.at(self.doing, &at).ok());
        Ok(Session::new(http.client.clone(), token.to_owned().into(), at))
    }

    /// Where sessions are made: the root of the service says it to anybody.
    async fn sessions(&self) -> Url {
        let standard = || self.http.at(self.doing, SESSIONS);
        let named = async {
            let root = self.http.at(self.doing, "/redfish/v1/").ok()?;
            let reply = self.answer(self.http.client.get(root)).await.ok()?;
            let root: serde_json::Value = serde_json::from_slice(&reply.bytes).ok()?;
            let path = root.get("Links")?.get("Sessions")?.get("@odata.id")?.as_str()?;
            self.http.at(self.doing, path).ok()
        };
        match (named.await, standard()) {
            (Some(named), _) => named,
            (None, Ok(standard)) => standard,
            // A path of our own below our own address: it is always there.
            (None, Err(_)) => self.http.url.clone(),
        }
    }

    /// Where a redirect leads that may be followed.
    fn leads_to(&self, from: &Url, reply: &Reply) -> Result<Url, FenceError> {
        let named = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok());
        let to = named.and_then(|to| from.join(to).ok());
        match to {
            Some(to) if with_or_without_slash(from, &to) && self.http.is_below(&to) => Ok(to),
            Some(_) | None => Err(self.elsewhere(reply, named)),
        }
    }

    fn elsewhere(&self, reply: &Reply, to: Option<&str>) -> FenceError {
        let to = to.map_or_else(|| "nowhere".to_owned(), |to| one_line(to, &[&self.http.password]));
        let status = reply.status.as_u16();
        FenceError::Elsewhere { device: self.http.device.clone(), doing: self.doing, status, to }
    }

    fn malformed(&self, why: String) -> FenceError {
        FenceError::Malformed { device: self.http.device.clone(), doing: self.doing, why }
    }

    fn said(&self, said: String) -> FenceError {
        FenceError::Failed { device: self.http.device.clone(), doing: self.doing, said }
    }

    fn words(&self, reply: &Reply) -> String {
        let words = one_line(&String::from_utf8_lossy(&reply.bytes), &[&self.http.password]);
        let words = if words.is_empty() { "without a word".to_owned() } else { words };
        format!("HTTP {}: {words}", reply.status)
    }

    fn refusal(&self, reply: &Reply) -> FenceError {
        let (device, doing, said) = (self.http.device.clone(), self.doing, self.words(reply));
        match reply.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => FenceError::Denied { device, doing, said },
            _ => FenceError::Failed { device, doing, said },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_add_or_drop_one_slash_and_nothing_else() {
        let from = "https://10.0.0.1/redfish/v1/Systems".parse::<Url>().unwrap();
        let leads = |to: &str| from.join(to).is_ok_and(|to| with_or_without_slash(&from, &to));
        for good in [
            "/redfish/v1/Systems/",
            "https://10.0.0.1/redfish/v1/Systems/",
            "https://10.0.0.1:443/redfish/v1/Systems/",
        ] {
            assert!(leads(good), "{good}");
        }
        for bad in [
            "/redfish/v1/Systems",
            "/redfish/v1/Systems//",
            "/redfish/v1/Systems/1/",
            "/redfish/v1/systems/",
            "/redfish/v1/Systems/?a=b",
            "/redfish/v1/Systems/#a",
            "http://10.0.0.1/redfish/v1/Systems/",
            "https://10.0.0.1:8443/redfish/v1/Systems/",
            "https://10.0.0.2/redfish/v1/Systems/",
            "https://u:p@10.0.0.1/redfish/v1/Systems/",
            "//10.0.0.2/redfish/v1/Systems/",
            "",
        ] {
            assert!(!leads(bad), "{bad}");
        }
        let back = "https://10.0.0.1/redfish/v1/Systems/".parse::<Url>().unwrap();
        assert!(with_or_without_slash(&back, &from));
    }
}
