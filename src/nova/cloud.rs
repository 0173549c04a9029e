//! What the recovery asks of a cloud. [`NovaClient`](super::NovaClient) is the real one; a
//! simulated world can stand here too.

use async_trait::async_trait;

use super::error::NovaError;
use super::evacuate::EvacuateRequest;
use super::ids::{Microversion, NovaHost, RequestId, ServerId, ServiceId, TokenId};
use super::marks::{Aggregate, Image, ServerGroup};
use super::migrations::Migration;
use super::placement::Room;
use super::servers::Server;
use super::services::{ComputeService, Reports};
use super::token::Token;

/// That the cloud can be used at all: token, catalog, version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudInfo {
    /// Nova's address, from the catalog or the settings.
    pub compute_url: String,
    /// The newest microversion that it speaks.
    pub newest: Microversion,
    /// Who keystone says we are.
    pub user: String,
    /// The token's project, if it has one.
    pub project: Option<String>,
}

/// The calls of a recovery to Nova.
///
/// Every error means *cannot tell* or *Nova refused*; none means that something failed in the
/// cloud. Changes are sent once, never repeated here: the caller reads back, always, and does so
/// too when [`NovaError::effect_may_have_happened`].
#[async_trait]
pub trait Cloud: Send + Sync {
    /// Token, catalog and microversions, for the preflight. Asks keystone and Nova.
    async fn ping(&self) -> Result<CloudInfo, NovaError>;

    /// The nova-compute service of exactly this host; `None` when Nova has none.
    async fn service(&self, host: &NovaHost) -> Result<Option<ComputeService>, NovaError>;

    /// Other nova-computes at the address of this one: services of the same machine, whose guests lose their power with it.
    async fn beside(&self, host: &NovaHost) -> Result<Vec<NovaHost>, NovaError>;

    /// The service with what tells how old its last report is. Lists every nova-compute of the cloud: asked before
    /// what cannot be taken back, not in a loop over guests.
    async fn reports(&self, host: &NovaHost) -> Result<Option<Reports>, NovaError>;

    /// Declares the service down, whatever it reports, or takes that back; the service as Nova answers
    /// it then. Taking it back is refused (`BadRequest`) while evacuations away from the host are
    /// `done`: its nova-compute must have started once and made them `completed`.
    async fn set_forced_down(
        &self,
        service: &ServiceId,
        forced_down: bool,
    ) -> Result<ComputeService, NovaError>;

    /// No new guests there; the service as Nova answers it then. After [`Self::set_forced_down`], never
    /// before it: Nova would call the dead host. `reason` has 1 to 255 characters.
    async fn disable(&self, service: &ServiceId, reason: &str) -> Result<ComputeService, NovaError>;

    /// New guests may be scheduled there; clears the reason. The service as Nova answers it then.
    async fn enable(&self, service: &ServiceId) -> Result<ComputeService, NovaError>;

    /// All guests of all tenants that Nova places on exactly this host. An empty list is the truth:
    /// a host that Nova does not know and a cell that is down are errors.
    async fn servers_on(&self, host: &NovaHost) -> Result<Vec<Server>, NovaError>;

    /// One guest; `None` when it is deleted.
    async fn server(&self, server: &ServerId) -> Result<Option<Server>, NovaError>;

    /// The token that requests are sent with now, and keystone's time. Logs in where there is none. It is kept so that
    /// it can be revoked, by the next process on this machine too.
    async fn token(&self) -> Result<Token, NovaError>;

    /// What is sent from now on is sent with another token than this one, so that it can be revoked some time later.
    async fn set_aside(&self, token: &TokenId);

    /// Has keystone revoke it: no request with it that Nova hears from then on is taken, but for how long Nova
    /// remembers that it was good. Keystone's time after that; `None` where nobody on this machine has the token any more.
    /// Nova works with the token of whoever asked: revoking it fails what was accepted with it and is under way.
    async fn revoke(&self, token: &TokenId) -> Result<Option<jiff::Timestamp>, NovaError>;

    /// Asks Nova to rebuild the guest elsewhere, with this token and no other. Success means that Nova accepted it,
    /// nothing more; the id finds it in Nova's logs and among the guest's actions. Nova since 26 accepts a second
    /// one while the first is running: the caller must have ruled that out.
    async fn evacuate(
        &self,
        server: &ServerId,
        request: &EvacuateRequest,
        token: &TokenId,
    ) -> Result<RequestId, NovaError>;

    /// Has Nova show the guest as ERROR with nothing being done with it (`os-resetState`), with this token and no other.
    /// It aborts an evacuation that is under way: the caller must have ruled that out.
    async fn reset_to_error(&self, server: &ServerId, token: &TokenId) -> Result<RequestId, NovaError>;

    /// Has the guest shut down where it is (`os-stop`). Success means that Nova accepted it.
    async fn stop(&self, server: &ServerId) -> Result<RequestId, NovaError>;

    /// The newest live migrations (1,000 at most) away from or to this host, newest first. One that
    /// is missing proves nothing.
    async fn live_migrations_at(&self, host: &NovaHost) -> Result<Vec<Migration>, NovaError>;

    /// All host aggregates.
    async fn aggregates(&self) -> Result<Vec<Aggregate>, NovaError>;

    /// All server groups of all projects.
    async fn server_groups(&self) -> Result<Vec<ServerGroup>, NovaError>;

    /// One image, by the image store; `None` when it is deleted.
    async fn image(&self, id: &str) -> Result<Option<Image>, NovaError>;

    /// All evacuations away from exactly this host, newest first.
    async fn evacuations_from(&self, source: &NovaHost) -> Result<Vec<Migration>, NovaError>;

    /// The same in one request, while things are moving: one that is missing proves nothing. With a
    /// number only so many, the newest.
    async fn evacuations_seen(
        &self,
        source: &NovaHost,
        newest: Option<usize>,
    ) -> Result<Vec<Migration>, NovaError>;

    /// All evacuations of one guest, newest first.
    async fn evacuations_of(&self, server: &ServerId) -> Result<Vec<Migration>, NovaError>;

    /// What is free on these hosts, or with none named on every host that is up and enabled, by
    /// placement. A host that placement shows no room on is left out.
    async fn rooms(&self, hosts: &[NovaHost]) -> Result<Vec<Room>, NovaError>;
}
