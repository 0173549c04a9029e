//! Why a host would not be recovered if it died now, each with what to type.

use serde::{Serialize, Serializer};

use crate::bindings::{ArrayDoubt, IdentityDoubt};
use crate::incident::IncidentRecord;
use crate::names::{HostName, IncidentId};
use crate::tree::foreign::Foreign;
use crate::tree::nova_names::{Doubt, TreeMachine};
use crate::watched::Sight;

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unprotected {
    /// No `general`: nobody added it.
    NotAdded,
    /// A key of it cannot be understood; the fault itself says which.
    BadKey,
    /// A person works on it.
    InMaintenance,
    /// Its Consul agent left or never joined.
    AgentAbsent,
    /// It was recovered from, and Nova was told: it has to be given back.
    OutOfService(IncidentId),
    /// It is flagged, and Nova was told nothing of it: an incident that was withdrawn, or a flag written by hand.
    Flagged,
    /// It is flagged as recovered, and by no incident of ours.
    Foreign(Foreign),
    /// Nobody could log in to it.
    NoSsh,
    /// Nobody could power it off: what is missing.
    NoFence(String),
    /// Which of Nova's hosts it is, is in doubt.
    NovaName(Doubt),
    /// Another machine claims to be the same, and nobody bound this one.
    Identity(IdentityDoubt),
    /// Whose an array that holds its guests is, is in doubt.
    Array(ArrayDoubt),
    /// Too few HA nodes see it.
    Unseen(Sight),
}

impl Unprotected {
    /// Where a flagged host stands: by its last incident, if it has one.
    pub(super) fn flagged(last: Option<&IncidentRecord>) -> Self {
        match last {
            // From its power-off on, Nova may have been told that it is down, and keeps it disabled until a rejoin.
            Some(incident) if incident.status.past_no_return => {
                Unprotected::OutOfService(incident.id.clone())
            }
            Some(_) | None => Unprotected::Flagged,
        }
    }

    /// For people, without the command.
    pub fn text(&self) -> String {
        match self {
            Unprotected::NotAdded => "nobody added it (no key `general`)".into(),
            Unprotected::BadKey => "a key of it cannot be understood".into(),
            Unprotected::InMaintenance => "in maintenance".into(),
            Unprotected::AgentAbsent => "its Consul agent left or never joined".into(),
            Unprotected::OutOfService(id) => format!("out of service since incident {id}"),
            Unprotected::Flagged => "flagged from an earlier failure".into(),
            Unprotected::Foreign(flag) => flag.text(),
            Unprotected::NoSsh => "no SSH access to probe it with".into(),
            Unprotected::NoFence(what) => format!("no way to power it off ({what})"),
            Unprotected::NovaName(doubt) => doubt.text(),
            Unprotected::Identity(doubt) => doubt.text(),
            Unprotected::Array(doubt) => doubt.text(),
            Unprotected::Unseen(sight) => sight.text(),
        }
    }

    /// The operator's next commands.
    pub fn next(&self, host: &HostName) -> Vec<String> {
        let one = match self {
            Unprotected::NotAdded => format!("nova-ha host add {host} ..."),
            Unprotected::BadKey => format!("nova-ha host show {host}"),
            Unprotected::InMaintenance => {
                format!("when the work is done: nova-ha maintenance off {host} --by NAME")
            }
            Unprotected::AgentAbsent => format!(
                "start Consul's agent on {host}; if it shall have none: nova-ha host add {host} --replace --agent none"
            ),
            Unprotected::OutOfService(_) => {
                format!("once it is repaired and booted: nova-ha rejoin {host} --by NAME")
            }
            Unprotected::Flagged => format!("nova-ha reset {host} --by NAME"),
            Unprotected::Foreign(flag) => flag.next(),
            Unprotected::NoSsh => {
                format!("nova-ha host add {host} --replace --ssh-user NAME --ssh-private-key-file FILE")
            }
            Unprotected::NoFence(_) => {
                format!(
                    "nova-ha host add {host} --replace --bmc-ip IP --bmc-user NAME --bmc-password-file FILE"
                )
            }
            Unprotected::NovaName(doubt) => doubt.next(host),
            Unprotected::Identity(doubt) => doubt.next(&TreeMachine::Host(host.clone())),
            Unprotected::Array(doubt) => doubt.next(host),
            Unprotected::Unseen(sight) => return sight.next(),
        };
        vec![one]
    }

    /// Whether a person should know; maintenance is what a person wants.
    pub fn needs_a_person(&self) -> bool {
        match self {
            Unprotected::InMaintenance => false,
            Unprotected::NotAdded
            | Unprotected::BadKey
            | Unprotected::AgentAbsent
            | Unprotected::OutOfService(_)
            | Unprotected::Flagged
            | Unprotected::Foreign(_)
            | Unprotected::NoSsh
            | Unprotected::NoFence(_)
            | Unprotected::NovaName(_)
            | Unprotected::Identity(_)
            | Unprotected::Array(_)
            | Unprotected::Unseen(_) => true,
        }
    }
}

impl Serialize for Unprotected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}
