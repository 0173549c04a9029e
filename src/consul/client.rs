//! The client: Consul's API behind the seam that the rest of the program sees.

use async_trait::async_trait;

use super::blocking::{Follow, Subject};
use super::health::{self, Check, CheckStatus};
use super::http::Http;
use super::settings::Settings;
use super::{agent, kv, session, status, txn};
use crate::store::{Entry, NodeHealth, Op, Renewal, SessionId, SessionSpec, Store, StoreError, TxnOutcome};

/// One Consul agent. Cheap to clone: clones share connections.
#[derive(Debug, Clone)]
pub struct Consul {
    http: Http,
}

impl Consul {
    /// A client; nothing is sent yet.
    ///
    /// # Errors
    /// [`StoreError::Settings`] when a certificate, a key or the address cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, StoreError> {
        Ok(Self { http: Http::new(settings)? })
    }

    /// From the standard `CONSUL_*` variables.
    ///
    /// # Errors
    /// [`StoreError::Settings`], which names the variable.
    pub fn from_env() -> Result<Self, StoreError> {
        Self::new(&Settings::from_env()?)
    }

    /// All checks of one node, consistently. An unknown or denied node has none.
    ///
    /// # Errors
    /// As any read; a status that Consul does not have is [`StoreError::Malformed`].
    pub async fn node_checks(&self, node: &str) -> Result<Vec<Check>, StoreError> {
        health::read(&self.http, health::node_call(node)).await
    }

    /// All checks of the cluster, or those of one status, consistently.
    ///
    /// # Errors
    /// As [`Consul::node_checks`].
    pub async fn checks_in_state(&self, status: Option<CheckStatus>) -> Result<Vec<Check>, StoreError> {
        health::read(&self.http, health::state_call(status)).await
    }

    /// All checks of one service, consistently.
    ///
    /// # Errors
    /// As [`Consul::node_checks`].
    pub async fn service_checks(&self, service: &str) -> Result<Vec<Check>, StoreError> {
        health::read(&self.http, health::service_call(service)).await
    }

    /// Follows a key, a prefix or a node's checks by blocking queries.
    pub fn follow(&self, subject: Subject) -> Follow {
        Follow::new(self.http.clone(), subject)
    }
}

#[async_trait]
impl Store for Consul {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        kv::get(&self.http, key).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        kv::list(&self.http, prefix).await
    }

    async fn keys(&self, prefix: &str, folders: bool) -> Result<Vec<String>, StoreError> {
        kv::keys(&self.http, prefix, folders).await
    }

    async fn transact(&self, ops: &[Op]) -> Result<TxnOutcome, StoreError> {
        txn::transact(&self.http, ops).await
    }

    async fn create_session(&self, spec: &SessionSpec) -> Result<SessionId, StoreError> {
        session::create(&self.http, spec).await
    }

    async fn renew_session(&self, session: &SessionId) -> Result<Renewal, StoreError> {
        session::renew(&self.http, session).await
    }

    async fn destroy_session(&self, session: &SessionId) -> Result<(), StoreError> {
        session::destroy(&self.http, session).await
    }

    async fn serf_health(&self) -> Result<Vec<NodeHealth>, StoreError> {
        health::serf_health(&self.http).await
    }

    async fn node_checks(&self, node: &str) -> Result<Vec<Check>, StoreError> {
        health::read(&self.http, health::node_call(node)).await
    }

    async fn own_node(&self) -> Result<String, StoreError> {
        agent::own_node(&self.http).await
    }

    async fn leader(&self) -> Result<Option<String>, StoreError> {
        status::leader(&self.http).await
    }
}
