//! What is to be done with one guest: pure, decided by vm_state, never by the derived status.

use serde::{Deserialize, Serialize};

use crate::nova::{EvacuateRequest, NovaHost, Server, VmState};

/// Where guests go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Target {
    /// Wherever Nova's scheduler says.
    Scheduler,
    /// To one host.
    Host {
        /// Nova's name of it.
        host: NovaHost,
        /// Whether it is a reserved spare, disabled for general scheduling.
        reserved: bool,
    },
}

impl Target {
    /// The host that is named.
    pub fn host(&self) -> Option<&NovaHost> {
        match self {
            Target::Scheduler => None,
            Target::Host { host, .. } => Some(host),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Target::Scheduler => f.write_str("wherever Nova's scheduler says"),
            Target::Host { host, reserved: true } => write!(f, "{host} (reserved spare)"),
            Target::Host { host, reserved: false } => write!(f, "{host}"),
        }
    }
}

/// What is to be done with one guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Treatment {
    /// Ask Nova for this.
    Evacuate {
        /// The request.
        request: EvacuateRequest,
        /// Why so.
        why: String,
    },
    /// Not to be recovered.
    Exclude {
        /// Why.
        why: String,
    },
    /// Nova would not.
    Refuse {
        /// Why.
        why: String,
    },
}

/// Metadata key of masakari, honoured here too: anything but a clear no is a yes.
const OPT_OUT_KEY: &str = "HA_Enabled";

/// Decides. Source of the states: Nova's `evacuate` takes ACTIVE, STOPPED and ERROR, and only what
/// was ever launched; everything else is 409.
pub fn treat(server: &Server, target: &Target) -> Treatment {
    let opted_out = server.metadata.iter().any(|(key, value)| {
        key == OPT_OUT_KEY && matches!(value.trim().to_ascii_lowercase().as_str(), "false" | "no" | "0" | "f")
    });
    if opted_out {
        return Treatment::Exclude { why: format!("metadata {OPT_OUT_KEY} says no") };
    }
    match &server.vm_state {
        VmState::Active | VmState::Stopped | VmState::Error if server.launched => {
            let (request, why) = request(target);
            Treatment::Evacuate { request, why }
        }
        VmState::Active | VmState::Stopped | VmState::Error => Treatment::Refuse {
            why: "it never ran: Nova does not evacuate it; delete and create it again".into(),
        },
        VmState::Deleted | VmState::SoftDeleted => Treatment::Exclude { why: "deleted".into() },
        VmState::ShelvedOffloaded => Treatment::Exclude { why: "shelved: on no host, unshelve it".into() },
        state @ (VmState::Building
        | VmState::Paused
        | VmState::Suspended
        | VmState::Rescued
        | VmState::Resized
        | VmState::Shelved
        | VmState::Other(_)) => {
            Treatment::Refuse { why: format!("Nova does not evacuate a guest that is {state}") }
        }
    }
}

/// A reserved spare is disabled, which the scheduler would not accept: below 2.29 a named host
/// bypasses it. Anything else is checked by the scheduler. Below 2.95 the power state is kept.
fn request(target: &Target) -> (EvacuateRequest, String) {
    match target {
        Target::Scheduler => {
            (EvacuateRequest::Scheduled268 { host: None }, "shared storage, scheduler's choice (2.68)".into())
        }
        Target::Host { host, reserved: true } => (
            EvacuateRequest::Pinned214 { host: host.clone() },
            format!("shared storage, to reserved spare {host} past the scheduler (2.14)"),
        ),
        Target::Host { host, reserved: false } => (
            EvacuateRequest::Scheduled268 { host: Some(host.clone()) },
            format!("shared storage, to {host}, checked by the scheduler (2.68)"),
        ),
    }
}

#[cfg(test)]
mod tests;
