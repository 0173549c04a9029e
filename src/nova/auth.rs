//! Keystone v3: a token by password or application credential, kept until shortly before its end.

use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::catalog::{CatalogService, compute_url, image_url, placement_url};
use super::clouds::{CloudSettings, Credentials, Named, Scope};
use super::error::{CatalogError, NovaError};
use super::http::{Answer, Outgoing, Transport};
use super::ids::TokenId;
use super::token::Token;

/// A token is renewed this long before its end (at most a quarter of its life): longer than one
/// effect with its login may take, so that a token does not end while a request travels.
const RENEW_BEFORE_END: Duration = Duration::from_secs(60);

/// What a login gave.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// What we call the token.
    pub(super) id: TokenId,
    pub(super) token: SecretString,
    /// When it ends, by keystone's clock.
    pub(super) ends: jiff::Timestamp,
    issued_at: jiff::Timestamp,
    /// When keystone's answer was here: not before `issued_at`.
    answered: Instant,
    /// Nova's address, ending in `/v2.1` or `/v2.1/PROJECT`.
    pub(super) compute: Url,
    /// Placement's address, or why there is none: only capacity needs it.
    pub(super) placement: Result<Url, CatalogError>,
    /// The image store's, ending in `/v2`, where the catalog has one.
    pub(super) image: Option<Url>,
    /// Who keystone says we are, for people.
    pub(super) user: String,
    pub(super) project: Option<String>,
    renew_at: Instant,
}

impl Session {
    /// What the ledger may know of its token.
    pub(super) fn token(&self) -> Token {
        let since = jiff::SignedDuration::try_from(self.answered.elapsed()).unwrap_or_default();
        let now = self.issued_at.checked_add(since).unwrap_or(self.issued_at);
        let life = Duration::try_from(self.ends.duration_since(self.issued_at)).unwrap_or_default();
        Token { id: self.id.clone(), ends: self.ends, now, life }
    }
}

/// The login of one cloud, shared by all calls.
#[derive(Debug)]
pub(super) struct Login {
    settings: CloudSettings,
    current: Mutex<Option<Session>>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: TokenBody,
}

#[derive(Deserialize)]
struct TokenBody {
    issued_at: jiff::Timestamp,
    expires_at: jiff::Timestamp,
    user: NamedThing,
    #[serde(default)]
    project: Option<NamedThing>,
    #[serde(default)]
    catalog: Option<Vec<CatalogService>>,
}

#[derive(Deserialize)]
struct NamedThing {
    name: String,
}

impl Login {
    pub(super) fn new(settings: CloudSettings) -> Self {
        Self { settings, current: Mutex::new(None) }
    }

    /// The present session, or a new one. Many callers at once make one login.
    pub(super) async fn session(
        &self,
        transport: &Transport,
        deadline: Instant,
    ) -> Result<Session, NovaError> {
        let mut current = self.current.lock().await;
        if let Some(session) = current.as_ref().filter(|session| Instant::now() < session.renew_at) {
            return Ok(session.clone());
        }
        let session = self.log_in(transport, deadline).await?;
        *current = Some(session.clone());
        Ok(session)
    }

    /// Nova refused this session's token. Another caller may have replaced it meanwhile.
    pub(super) async fn forget(&self, refused: &Session) {
        let mut current = self.current.lock().await;
        if current
            .as_ref()
            .is_some_and(|session| session.token.expose_secret() == refused.token.expose_secret())
        {
            *current = None;
        }
    }

    /// What is sent from now on is sent with another token than this one.
    pub(super) async fn set_aside(&self, id: &TokenId) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|session| session.id == *id) {
            *current = None;
        }
    }

    /// Keystone, for what is not a login.
    pub(super) fn tokens_url(&self) -> Url {
        let mut url = self.settings.auth_url.clone();
        url.set_path(&format!("{}/auth/tokens", url.path()));
        url
    }

    async fn log_in(&self, transport: &Transport, deadline: Instant) -> Result<Session, NovaError> {
        let url = self.tokens_url();
        let body = login_body(&self.settings.credentials);
        let began = Instant::now();
        let out = Outgoing {
            method: Method::POST,
            url,
            effect: false,
            headers: HeaderMap::new(),
            body: Some(&body),
        };
        let answer = transport.exchange(out, deadline).await?;
        let (cloud, file) = (self.settings.name.clone(), self.settings.file.clone());
        match answer.status.as_u16() {
            201 => {}
            401 => {
                return Err(match answer.refusal(None) {
                    NovaError::Unauthorized { call, message } => {
                        NovaError::CredentialsRefused { call, cloud, file, message }
                    }
                    other => other,
                });
            }
            status => {
                return Err(match answer.refusal(None) {
                    NovaError::NotFound { call, message }
                    | NovaError::UnexpectedStatus { call, message, .. } => {
                        let message = format!("HTTP {status}: {message}");
                        NovaError::NoKeystone { call, cloud, file, message }
                    }
                    other => other,
                });
            }
        }
        self.session_of(&answer, began)
    }

    fn session_of(&self, answer: &Answer, began: Instant) -> Result<Session, NovaError> {
        let token = answer.headers.get("x-subject-token").and_then(|value| value.to_str().ok());
        let token = token.ok_or_else(|| answer.malformed("keystone's answer has no X-Subject-Token"))?;
        let body = answer.json::<TokenAnswer>()?.token;
        // By keystone's own two times, so that a wrong clock here does no harm.
        let life = body.expires_at.duration_since(body.issued_at);
        let life =
            Duration::try_from(life).map_err(|_| answer.malformed("the token ends before it was issued"))?;
        let catalog_error = |source| NovaError::Catalog {
            cloud: self.settings.name.clone(),
            file: self.settings.file.clone(),
            source: Box::new(source),
        };
        let compute = match (&self.settings.compute_url, &body.catalog) {
            (Some(url), _) => super::catalog::versioned(url.as_str()).map_err(catalog_error)?,
            (None, Some(catalog)) => {
                let (interface, region) = (&self.settings.interface, self.settings.region.as_deref());
                compute_url(catalog, interface, region).map_err(catalog_error)?
            }
            (None, None) => return Err(catalog_error(CatalogError::Absent)),
        };
        let placement = match (&self.settings.placement_url, &body.catalog) {
            (Some(url), _) => Ok(url.clone()),
            (None, Some(catalog)) => {
                placement_url(catalog, &self.settings.interface, self.settings.region.as_deref())
            }
            (None, None) => Err(CatalogError::Absent),
        };
        let image = body.catalog.as_deref().and_then(|catalog| {
            image_url(catalog, &self.settings.interface, self.settings.region.as_deref())
        });
        Ok(Session {
            id: TokenId::new_one(),
            ends: body.expires_at,
            issued_at: body.issued_at,
            answered: Instant::now(),
            image,
            token: SecretString::from(token),
            compute,
            placement,
            user: body.user.name,
            project: body.project.map(|project| project.name),
            renew_at: began + life.saturating_sub(RENEW_BEFORE_END.min(life / 4)),
        })
    }
}

/// For [`crate::fuzzing`]: Nova's address, when the token ends, and how long before that it is renewed at the latest.
#[cfg(any(test, fuzzing))]
pub(crate) fn session_in(
    settings: &CloudSettings,
    token: &str,
    body: &[u8],
) -> Result<(Url, Token), NovaError> {
    let mut answer = Answer::of_200(body);
    if let Some(token) = super::http::secret_value(token) {
        answer.headers.insert("x-subject-token", token);
    }
    let session = Login::new(settings.clone()).session_of(&answer, Instant::now())?;
    Ok((session.compute.clone(), session.token()))
}

fn named(thing: &Named) -> Value {
    match thing {
        Named::Id(id) => json!({"id": id}),
        Named::Name(name) => json!({"name": name}),
    }
}

/// A user or a project with its domain. By id it needs none, and keystone refuses both.
fn in_domain(thing: &Named, domain: Option<&Named>) -> Value {
    match (thing, domain) {
        (Named::Name(name), Some(domain)) => json!({"name": name, "domain": named(domain)}),
        (Named::Id(_), _) | (Named::Name(_), None) => named(thing),
    }
}

fn login_body(credentials: &Credentials) -> Value {
    match credentials {
        Credentials::Password { user, user_domain, password, scope } => {
            let mut user = in_domain(user, user_domain.as_ref());
            if let Some(fields) = user.as_object_mut() {
                fields.insert("password".to_owned(), json!(password.expose_secret()));
            }
            let scope = match scope {
                Scope::Project { project, domain } => json!({"project": in_domain(project, domain.as_ref())}),
                Scope::System => json!({"system": {"all": true}}),
            };
            json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}})
        }
        Credentials::ApplicationCredential { credential, owner, secret } => {
            let mut inner = named(credential);
            if let Some(fields) = inner.as_object_mut() {
                fields.insert("secret".to_owned(), json!(secret.expose_secret()));
                if let Some((user, domain)) = owner {
                    fields.insert("user".to_owned(), in_domain(user, domain.as_ref()));
                }
            }
            json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential": inner}}})
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_by_password_names_user_domain_and_project() {
        let default = || Some(Named::Id("default".to_owned()));
        let credentials = Credentials::Password {
            user: Named::Name("admin".to_owned()),
            user_domain: default(),
            password: SecretString::from("p"),
            scope: Scope::Project { project: Named::Id("abc".to_owned()), domain: default() },
        };
        let expected = json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "admin", "domain": {"id": "default"}, "password": "p"}}},
            "scope": {"project": {"id": "abc"}}}});
        assert_eq!(login_body(&credentials), expected);
    }

    #[test]
    fn an_application_credential_has_no_scope() {
        let credential = |credential, owner| {
            login_body(&Credentials::ApplicationCredential {
                credential,
                owner,
                secret: SecretString::from("s"),
            })
        };
        let expected = json!({"auth": {"identity": {"methods": ["application_credential"],
            "application_credential": {"id": "i", "secret": "s"}}}});
        assert_eq!(credential(Named::Id("i".to_owned()), None), expected);
        let owner = Some((Named::Name("u".to_owned()), Some(Named::Name("Default".to_owned()))));
        let expected = json!({"auth": {"identity": {"methods": ["application_credential"], "application_credential":
            {"name": "n", "secret": "s", "user": {"name": "u", "domain": {"name": "Default"}}}}}});
        assert_eq!(credential(Named::Name("n".to_owned()), owner), expected);
    }
}
