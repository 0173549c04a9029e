//! A session of a Redfish service, which ends on every way out.

use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

/// Wall clock to end it.
const CLOSE: Duration = Duration::from_secs(20);

/// A session, until it is ended.
pub(super) struct Session {
    client: Client,
    token: SecretString,
    /// Where it is ended; nothing where the service did not say, or named another server.
    at: Option<Url>,
}

impl Session {
    pub(super) fn new(client: Client, token: SecretString, at: Option<Url>) -> Self {
        Self { client, token, at }
    }

    pub(super) fn token(&self) -> &SecretString {
        &self.token
    }

    pub(super) async fn end(mut self) {
        if let Some(ends) = self.ending() {
            ends.await;
        }
    }

    /// What ends it, once.
    fn ending(&mut self) -> Option<impl Future<Output = ()> + Send + 'static> {
        let at = self.at.take()?;
        let token = self.token.expose_secret().to_owned();
        let request = self.client.delete(at).header("X-Auth-Token", token).timeout(CLOSE);
        Some(async move {
            match request.send().await {
                Ok(reply) if reply.status().is_success() || reply.status() == StatusCode::NOT_FOUND => {}
                Ok(reply) => tracing::warn!(status = %reply.status(), "a Redfish session was not ended"),
                Err(error) => tracing::warn!(error = %error.without_url(), "a Redfish session was not ended"),
            }
        })
    }
}

impl Drop for Session {
    /// Whoever asked has stopped waiting, or an error came between.
    fn drop(&mut self) {
        let (Some(ends), Ok(runtime)) = (self.ending(), tokio::runtime::Handle::try_current()) else {
            return;
        };
        drop(runtime.spawn(ends));
    }
}
