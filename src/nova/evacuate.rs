//! The evacuate request: which microversion goes with which promise.
//!
//! The microversion is not a detail: it decides what Nova does when the guest's disk is not there.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{NovaCall, NovaClient};
use super::error::NovaError;
use super::ids::{Microversion, NovaHost, RequestId, ServerId};

/// What is asked of Nova for one guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum EvacuateRequest {
    /// 2.13, `onSharedStorage: true`, the scheduler bypassed: the guest's directory must be on the
    /// target already, or Nova fails closed (migration `failed`, guest ERROR, nothing built).
    /// For storage that this HA node took over. Never for guests booted from a volume: without a
    /// directory Nova refuses them.
    AttachOnly213 {
        /// The target.
        host: NovaHost,
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
            Self::AttachOnly213 { host } | Self::Pinned214 { host } => Some(host),
            Self::Scheduled268 { host } | Self::Stopped295 { host } => host.as_ref(),
        }
    }

    /// The body, exactly: Nova refuses one property too many.
    pub fn body(&self) -> Value {
        let inner = match self {
            Self::AttachOnly213 { host } => json!({"onSharedStorage": true, "host": host}),
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
    ) -> Result<RequestId, NovaError> {
        let path = ["servers", server.as_str(), "action"];
        let call = NovaCall::effect(Method::POST, &path, request.microversion(), request.body());
        // The body is not looked at: before 2.14 it may carry a password that nobody needs.
        let answer = self.call(&call).await?;
        Ok(answer.call.nova_id.clone().unwrap_or(answer.call.our_id))
    }
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
                EvacuateRequest::AttachOnly213 { host: host.clone() },
                "2.13",
                json!({"onSharedStorage": true, "host": "ha1"}),
            ),
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
