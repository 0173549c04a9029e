//! The real cloud behind the seam that the recovery sees: each call of [`Cloud`] by the file that has its endpoint.

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::json;

use super::client::{NovaCall, NovaClient};
use super::cloud::{Cloud, CloudInfo};
use super::error::NovaError;
use super::evacuate::EvacuateRequest;
use super::http::Answer;
use super::ids::{Microversion, NovaHost, RequestId, ServerId, ServiceId, TokenId};
use super::marks::{Aggregate, Image, ServerGroup};
use super::migrations::Migration;
use super::placement::Room;
use super::servers::{self, Server};
use super::services::{self, ComputeService, Reports};
use super::token::Token;

#[async_trait]
impl Cloud for NovaClient {
    async fn ping(&self) -> Result<CloudInfo, NovaError> {
        self.read_info().await
    }

    async fn service(&self, host: &NovaHost) -> Result<Option<ComputeService>, NovaError> {
        self.read_service(host).await
    }

    async fn beside(&self, host: &NovaHost) -> Result<Vec<NovaHost>, NovaError> {
        self.read_beside(host).await
    }

    async fn reports(&self, host: &NovaHost) -> Result<Option<Reports>, NovaError> {
        self.read_reports(host).await
    }

    async fn set_forced_down(
        &self,
        service: &ServiceId,
        forced_down: bool,
    ) -> Result<ComputeService, NovaError> {
        self.update_service(service, json!({"forced_down": forced_down})).await
    }

    async fn disable(&self, service: &ServiceId, reason: &str) -> Result<ComputeService, NovaError> {
        self.disable_service(service, reason).await
    }

    async fn enable(&self, service: &ServiceId) -> Result<ComputeService, NovaError> {
        self.update_service(service, json!({"status": "enabled"})).await
    }

    async fn servers_on(&self, host: &NovaHost) -> Result<Vec<Server>, NovaError> {
        self.read_servers_on(host).await
    }

    async fn server(&self, server: &ServerId) -> Result<Option<Server>, NovaError> {
        self.read_server(server).await
    }

    async fn token(&self) -> Result<Token, NovaError> {
        let session = self.session().await?;
        self.kept.keep(&session);
        Ok(session.token())
    }

    async fn set_aside(&self, token: &TokenId) {
        self.login.set_aside(token).await;
    }

    async fn revoke(&self, token: &TokenId) -> Result<Option<jiff::Timestamp>, NovaError> {
        self.revoke_token(token).await
    }

    async fn evacuate(
        &self,
        server: &ServerId,
        request: &EvacuateRequest,
        token: &TokenId,
    ) -> Result<RequestId, NovaError> {
        self.post_evacuate(server, request, token).await
    }

    async fn reset_to_error(&self, server: &ServerId, token: &TokenId) -> Result<RequestId, NovaError> {
        self.post_reset(server, token).await
    }

    async fn stop(&self, server: &ServerId) -> Result<RequestId, NovaError> {
        self.post_action(server, json!({"os-stop": null})).await
    }

    async fn live_migrations_at(&self, host: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        self.read_live_migrations_at(host).await
    }

    async fn aggregates(&self) -> Result<Vec<Aggregate>, NovaError> {
        self.read_aggregates().await
    }

    async fn server_groups(&self) -> Result<Vec<ServerGroup>, NovaError> {
        self.read_server_groups().await
    }

    async fn image(&self, id: &str) -> Result<Option<Image>, NovaError> {
        self.read_image(id).await
    }

    async fn evacuations_from(&self, source: &NovaHost) -> Result<Vec<Migration>, NovaError> {
        self.read_evacuations_from(source).await
    }

    async fn evacuations_seen(
        &self,
        source: &NovaHost,
        newest: Option<usize>,
    ) -> Result<Vec<Migration>, NovaError> {
        self.read_evacuations_seen(source, newest).await
    }

    async fn evacuations_of(&self, server: &ServerId) -> Result<Vec<Migration>, NovaError> {
        self.read_evacuations_of(server).await
    }

    async fn rooms(&self, hosts: &[NovaHost]) -> Result<Vec<Room>, NovaError> {
        self.read_rooms(hosts).await
    }
}

impl NovaClient {
    async fn read_info(&self) -> Result<CloudInfo, NovaError> {
        let session = self.session().await?;
        // No path: Nova's version document. Some deployments want a token for it, some do not.
        let answer = self.call(&NovaCall::read(&[], Microversion::two(1))).await?;
        let newest = newest_of(&answer)?;
        // The newest that the reads here use; an evacuate's own is checked by Nova (406).
        if newest < servers::VERSION {
            let message = format!("the newest is {newest}");
            return Err(NovaError::VersionRefused { call: answer.call, version: servers::VERSION, message });
        }
        // This one always wants a token, and an administrator's.
        self.call(&NovaCall::read(&["os-hypervisors"], services::VERSION).with("limit", "1")).await?;
        let compute_url = session.compute.to_string();
        Ok(CloudInfo { compute_url, newest, user: session.user, project: session.project })
    }
}

#[derive(Deserialize)]
struct VersionDocument {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    version: String,
}

fn newest_of(answer: &Answer) -> Result<Microversion, NovaError> {
    let newest = answer.json::<VersionDocument>()?.version.version;
    newest.parse().map_err(|_| answer.malformed(format!("{newest:?} is no microversion")))
}

/// For [`crate::fuzzing`].
#[cfg(any(test, fuzzing))]
pub(crate) fn newest_in(body: &[u8]) -> Result<Microversion, NovaError> {
    newest_of(&Answer::of_200(body))
}
