//! Ends a token before its time, so that no request that was sent with it is heard any more.

use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::client::{NovaClient, with_token};
use super::error::NovaError;
use super::http::{Outgoing, secret_value};
use super::ids::TokenId;

impl NovaClient {
    /// As [`super::Cloud::revoke`] says.
    pub(super) async fn revoke_token(&self, id: &TokenId) -> Result<Option<Timestamp>, NovaError> {
        if let Some(after) = self.kept.revoked().get(id) {
            return Ok(Some(*after));
        }
        let Some(token) = self.kept.find(id) else { return Ok(None) };
        self.login.set_aside(id).await;
        let session = self.session().await?;
        let deadline = Instant::now() + self.transport.timing.effect;
        let mut headers: HeaderMap = with_token(&session)?;
        let subject = secret_value(token.expose_secret());
        let subject =
            subject.ok_or_else(|| NovaError::NotSent { why: "the token is no header value".into() })?;
        headers.insert("X-Subject-Token", subject);
        let out = Outgoing {
            method: Method::DELETE,
            url: self.login.tokens_url(),
            effect: true,
            headers,
            body: None,
        };
        let answer = self.transport.exchange(out, deadline).await?;
        match answer.status.as_u16() {
            // 404: it is no token (any more), as when it has ended.
            200 | 204 | 404 => {}
            401 => {
                self.login.forget(&session).await;
                return Err(answer.refusal(None));
            }
            _ => return Err(answer.refusal(None)),
        }
        // A login that begins after that, so that keystone's time in it is after it too.
        self.login.set_aside(&session.id).await;
        let after = self.session().await?.token().now;
        // Its file stays until it would have ended: the next process may have to know the same of another guest.
        self.kept.revoked().insert(id.clone(), after);
        Ok(Some(after))
    }
}
