//! What is to be done with one guest: pure. Its own or its owner's wish first, then its state
//! ([`states`]), then how Nova is asked.

use serde::{Deserialize, Serialize};

use super::choice::{Surroundings, wish};
use super::states::{self, Outcome, State};
use crate::nova::{Migration, NovaHost, Server};

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
    /// Ask Nova for it, as [`super::request`] says.
    Evacuate,
    /// Have Nova show it as ERROR first: it evacuates nothing else of this state.
    Reset {
        /// Why so.
        why: String,
    },
    /// Not to be recovered.
    Exclude {
        /// Why.
        why: String,
    },
    /// Nova would not, or it would lose something.
    Refuse {
        /// Why, and what next.
        why: String,
    },
    /// Nobody can tell what its disk or its whereabouts are.
    Hold {
        /// Why, and what next.
        why: String,
    },
}

/// What is known of a guest beside its own record.
#[derive(Debug, Clone, Copy)]
pub struct Beside<'a> {
    /// Live migrations that touch the dead host, newest first.
    pub live_migrations: &'a [Migration],
    /// Whether this recovery asked for an evacuation of it before.
    pub asked: bool,
    /// `reset_and_evacuate` of the policy.
    pub reset: &'a [String],
    /// Marks of images, flavors and aggregates.
    pub surroundings: &'a Surroundings,
    /// `recover_only_opted_in` of the policy.
    pub only_opted_in: bool,
}

/// Decides.
pub fn treat(server: &Server, beside: Beside<'_>) -> Treatment {
    if let Some(why) = wish(server, beside.surroundings, beside.only_opted_in).excluded {
        return Treatment::Exclude { why };
    }
    let leaves = |m: &&Migration| m.server == server.id && Some(&m.source) == server.host.as_ref();
    let state = State {
        vm_state: &server.vm_state,
        task_state: server.task_state.as_ref(),
        power_state: server.power_state,
        launched: server.launched,
        live_migration: beside.live_migrations.iter().find(leaves),
        asked: beside.asked,
    };
    match states::outcome(&state, beside.reset) {
        Outcome::Evacuate => Treatment::Evacuate,
        Outcome::Reset => {
            Treatment::Reset { why: format!("{}: reset to ERROR first, stopped in the end", server.vm_state) }
        }
        Outcome::Exclude { why } => Treatment::Exclude { why },
        Outcome::Refuse { why } => Treatment::Refuse { why },
        Outcome::Hold { why } => Treatment::Hold { why },
    }
}

#[cfg(test)]
mod tests;
