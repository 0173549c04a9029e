//! Everything that a plan is made from, and what it says of each guest.

use serde::{Deserialize, Serialize};

use crate::bindings::{ArrayDoubt, IdentityDoubt};
use crate::fence::{Next, PowerState, Privilege, Verdict};
use crate::names::{HaNodeName, IncidentId};
use crate::nova::{ComputeService, Migration, NovaHost, Room, Server};
use crate::recovery::capacity::Fit;
use crate::recovery::evacuation::choice::Surroundings;
use crate::recovery::reports::watch::Reading;
use crate::recovery::storage::answer::Answer;
use crate::tree::nova_names::Doubt;
use crate::tree::storage::Storage;

/// What one fence level answered.
#[derive(Debug, Clone, PartialEq)]
pub struct LevelFact {
    /// Kind and address.
    pub device: String,
    /// What it said.
    pub state: LevelState,
    /// What a person can type so that it can be used.
    pub next: Option<Next>,
}

impl LevelFact {
    /// For people. The reason of *no answer* names the device itself.
    pub fn text(&self) -> String {
        match &self.state {
            LevelState::NoAnswer { why } => why.clone(),
            said @ (LevelState::Answers { .. } | LevelState::ByWord { .. }) => {
                format!("{}: {}", self.device, said.text())
            }
        }
    }
}

/// What one fence level answered.
#[derive(Debug, Clone, PartialEq)]
pub enum LevelState {
    /// Nothing that can be used.
    NoAnswer {
        /// Why.
        why: String,
    },
    /// One of several devices says nothing, and a person said that it carries no power.
    ByWord {
        /// Who, and when.
        by: String,
    },
    /// It answered.
    Answers {
        /// The power now.
        power: PowerState,
        /// Whether it is this machine's.
        identity: Verdict,
        /// Whether it would switch off.
        privilege: Privilege,
    },
}

/// Why Nova said nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAsked {
    /// Why.
    pub why: String,
    /// The operator's next step: the setting that is wrong, where it is one.
    pub next: String,
}

/// What Nova said.
#[derive(Debug, Clone, PartialEq)]
pub struct NovaFacts {
    /// What Nova calls the host.
    pub host: NovaHost,
    /// Its service.
    pub service: Option<ComputeService>,
    /// Other nova-computes on its machine, as far as their addresses tell; or why nobody can tell.
    pub beside: Result<Vec<NovaHost>, String>,
    /// The same look, as the run's first one at the host's reports.
    pub first_reading: Option<Reading>,
    /// Where guests may go.
    pub targets: TargetFacts,
    /// Its guests.
    pub servers: Vec<Server>,
    /// What is free where they may go, or why nobody can tell.
    pub rooms: Result<Vec<Room>, String>,
    /// Live migrations that touch it, newest first.
    pub live_migrations: Vec<Migration>,
    /// Marks of its aggregates, its guests' images and groups.
    pub surroundings: Surroundings,
}

/// Where guests may go.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetFacts {
    /// Wherever the scheduler says.
    Scheduler,
    /// To the first of these that is up.
    Named(Vec<(NovaHost, Option<ComputeService>)>),
}

/// Everything that a plan is made from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The incident.
    pub id: IncidentId,
    /// This HA node.
    pub me: HaNodeName,
    /// Whether the host is this HA node itself.
    pub is_self: bool,
    /// Fence levels, in order.
    pub levels: Vec<LevelFact>,
    /// What is weak about the way to them: who else can say that the host is off.
    pub weak_ways: Vec<String>,
    /// Policy.
    pub allow_unidentified_bmc: bool,
    /// Policy.
    pub reset_and_evacuate: Vec<String>,
    /// Policy.
    pub recover_only_opted_in: bool,
    /// A person's word that is valid now.
    pub confirmed_off_by: Option<String>,
    /// Why a person's word that was given does not count.
    pub word_refused: Option<String>,
    /// How this HA node gets at the guests' disks.
    pub storage: Storage,
    /// What its storage program says, where it has one.
    pub storage_says: Option<Answer>,
    /// Why nobody can tell which user nova-compute is here, where this HA node takes the storage.
    pub nova_user_unknown: Option<String>,
    /// What Nova calls this HA node.
    pub own_nova_host: NovaHost,
    /// Why it is in doubt which of Nova's hosts the host is.
    pub name_doubts: Vec<Doubt>,
    /// Another machine that claims to be the same as the host, which is known by its own word only.
    pub identity_doubt: Option<IdentityDoubt>,
    /// Why arrays that the host published are not taken as its own.
    pub array_doubts: Vec<ArrayDoubt>,
    /// `policy.attach_only`.
    pub attach_only: bool,
    /// `policy.capacity_blocks`.
    pub capacity_blocks: bool,
    /// What Nova said, or why it said nothing.
    pub nova: Result<NovaFacts, NotAsked>,
}

/// One guest as planned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedGuest {
    /// Nova's server id.
    pub server: String,
    /// Its name.
    pub name: String,
    /// vm_state now.
    pub vm_state: String,
    /// What will be done, and why, in one line.
    pub treatment: String,
    /// Whether there is room for it; nothing for one that is not to be evacuated.
    #[serde(default)]
    pub room: Option<Fit>,
}
