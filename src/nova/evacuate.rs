//! The evacuate request: which microversion goes with which promise; and the two plain actions that
//! may come before and after it.
//!
//! The microversion is not a detail: it decides what Nova does when the guest's disk is not there.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::http::Answer;
use super::ids::{Microversion, NovaHost, RequestId, ServerId, TokenId};

/// What is asked of Nova for one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EvacuateRequest {
    /// 2.13, `onSharedStorage: true`: the guest's directory must be on the target already, or Nova
    /// fails closed (migration `failed`, guest ERROR, nothing built; seen on Nova 34.0.0). A named
    /// host bypasses the scheduler. Never for guests booted from a volume: without a directory Nova
    /// refuses them.
    AttachOnly213 {
        /// The target, or the scheduler's choice.
        host: Option<NovaHost>,
    },
    /// 2.14: this host, whatever the scheduler thinks (a disabled reserve host too). Nova looks for
    /// the disk itself and, where it sees none, **builds it anew from the image**: only for
    /// storage that the target surely shares, and for guests booted from a volume.
    Pinned214 {
        /// The target.
        host: NovaHost,
    },
    /// 2.68: the scheduler chooses, or checks the named host, which must be enabled. About disks the
    /// same as [`Self::Pinned214`].
    Scheduled268 {
        /// The target, or the scheduler's choice.
        host: Option<NovaHost>,
    },
    /// 2.95: as [`Self::Scheduled268`], and the guest ends stopped (unless it was in ERROR). Needs
    /// Nova 27 on every compute host.
    Stopped295 {
        /// The target, or the scheduler's choice.
        host: Option<NovaHost>,
    },
}

impl EvacuateRequest {
    /// The microversion that it must be sent with.
    pub fn microversion(&self) -> Microversion {
        match self {
            Self::AttachOnly213 { .. } => Microversion::two(13),
            Self::Pinned214 { .. } => Microversion::two(14),
            Self::Scheduled268 { .. } => Microversion::two(68),
            Self::Stopped295 { .. } => Microversion::two(95),
        }
    }

    /// The host named in it.
    pub fn host(&self) -> Option<&NovaHost> {
        match self {
            Self::Pinned214 { host } => Some(host),
            Self::AttachOnly213 { host } | Self::Scheduled268 { host } | Self::Stopped295 { host } => {
                host.as_ref()
            }
        }
    }

    /// The body, exactly: Nova refuses one property too many.
    pub fn body(&self) -> Value {
        let inner = match self {
            Self::AttachOnly213 { host: Some(host) } => json!({"onSharedStorage": true, "host": host}),
            Self::AttachOnly213 { host: None } => json!({"onSharedStorage": true}),
            Self::Pinned214 { host }
            | Self::Scheduled268 { host: Some(host) }
            | Self::Stopped295 { host: Some(host) } => {
                json!({"host": host})
            }
            Self::Scheduled268 { host: None } | Self::Stopped295 { host: None } => json!({}),
        };
        json!({"evacuate": inner})
    }
}

impl NovaClient {
    pub(super) async fn post_evacuate(
        &self,
        server: &ServerId,
        request: &EvacuateRequest,
        token: &TokenId,
    ) -> Result<RequestId, NovaError> {
        let path = action_of(server);
        let call = NovaCall::effect(Method::POST, &path, request.microversion(), request.body());
        // The body is not looked at: before 2.14 it may carry a password that nobody needs.
        Ok(id_of(&self.call_with(&call, token).await?))
    }

    /// A reset that is heard late would abort the evacuation that was asked for since.
    pub(super) async fn post_reset(
        &self,
        server: &ServerId,
        token: &TokenId,
    ) -> Result<RequestId, NovaError> {
        let (path, body) = (action_of(server), json!({"os-resetState": {"state": "error"}}));
        let call = NovaCall::effect(Method::POST, &path, super::servers::VERSION, body);
        Ok(id_of(&self.call_with(&call, token).await?))
    }

    /// An action whose body is the same in every version that we speak.
    pub(super) async fn post_action(&self, server: &ServerId, body: Value) -> Result<RequestId, NovaError> {
        let path = action_of(server);
        let call = NovaCall::effect(Method::POST, &path, super::servers::VERSION, body);
        Ok(id_of(&self.call(&call).await?))
    }
}

fn action_of(server: &ServerId) -> [&str; 3] {
    ["servers", server.as_str(), "action"]
}

fn id_of(answer: &Answer) -> RequestId {
    answer.call.nova_id.clone().unwrap_or_else(|| answer.call.our_id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_has_exactly_the_body_that_its_version_allows() {
        let host: NovaHost = "ha1".parse().unwrap();
        let some = || Some(host.clone());
        for (request, version, body) in [
            (
                EvacuateRequest::AttachOnly213 { host: some() },
                "2.13",
                json!({"onSharedStorage": true, "host": "ha1"}),
            ),
            (EvacuateRequest::AttachOnly213 { host: None }, "2.13", json!({"onSharedStorage": true})),
            (EvacuateRequest::Pinned214 { host: host.clone() }, "2.14", json!({"host": "ha1"})),
            (EvacuateRequest::Scheduled268 { host: some() }, "2.68", json!({"host": "ha1"})),
            (EvacuateRequest::Scheduled268 { host: None }, "2.68", json!({})),
            (EvacuateRequest::Stopped295 { host: some() }, "2.95", json!({"host": "ha1"})),
            (EvacuateRequest::Stopped295 { host: None }, "2.95", json!({})),
        ] {
            assert_eq!(request.microversion().to_string(), version);
            assert_eq!(request.body(), json!({"evacuate": body}));
            let kept: EvacuateRequest =
                serde_json::from_value(serde_json::to_value(&request).unwrap()).unwrap();
            assert_eq!(kept, request);
        }
    }
}
