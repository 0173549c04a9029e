//! What a step works with, and what every step may do with it.

use std::future::Future;
use std::time::Duration;

use super::case::Case;
use super::earlier::Earlier;
use super::history::MembersSeen;
use super::journal::Journal;
use super::lease::Lease;
use super::plan::Plan;
use super::proof::KnownOff;
use super::reports::watch::Watch;
use super::stop::Stop;
use super::world::World;
use crate::clock::BootInstant;
use crate::fence::{FenceLevels, PoweredOff};
use crate::incident::journal::{Event, Outcome};
use crate::incident::step::Step;
use crate::nova::Cloud;
use crate::store::StoreError;

/// What a step works with.
pub struct Context<'a> {
    /// The seams.
    pub world: &'a World,
    /// The right to act.
    pub lease: &'a Lease<'a>,
    /// The journal.
    pub journal: Journal<'a>,
    /// What the tree says.
    pub case: &'a Case,
    /// What was decided, on facts of this run.
    pub plan: &'a Plan,
    /// Nova.
    pub cloud: &'a dyn Cloud,
    /// Fence levels that answered as this host's own in this run.
    pub levels: &'a FenceLevels,
    /// What its earlier holders left.
    pub earlier: Earlier,
    /// What the members of the host's arrays said first, by the journal as it is now.
    pub members_seen: MembersSeen,
    /// When this run looked first at the one that it saw last.
    pub members_first_seen: Option<BootInstant>,
    /// What this run has seen of the host's reports to Nova.
    pub reports: Watch,
    /// On what a retry stands, for its journal.
    pub retried_on: Vec<String>,
}

/// What a precheck found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// Nothing is to be done.
    AlreadySo(Vec<String>),
    /// It is to be done.
    Ready(Vec<String>),
}

impl Context<'_> {
    /// *Started*: an effect may happen from here on. Written once per step, also over a resume; where
    /// it stands already, the incident must still be ours and as we saw it (a person may hold it
    /// while a wait goes on).
    pub async fn started(&mut self, step: Step, facts: Vec<String>) -> Result<(), Stop> {
        if self.journal.status().started == Some(step) {
            return self.journal.confirm().await;
        }
        let strategy = match step {
            Step::TakeStorage => self.case.storage.strategy.name(),
            Step::Fence | Step::DeclareDown | Step::ReadyTarget | Step::Evacuate | Step::Verify => None,
        };
        self.journal.append(Event::Started { step, strategy, facts }, Vec::new()).await
    }

    /// *Finished*: confirmed.
    pub async fn finished(&mut self, step: Step, outcome: Outcome, facts: Vec<String>) -> Result<(), Stop> {
        self.journal.append(Event::Finished { step, outcome, facts }, Vec::new()).await
    }

    /// The right to change something outside of Consul, now: the host is off by a fresh proof, and the incident is ours
    /// by Consul's word of this moment.
    pub async fn may_change<'o>(&self, off: &'o mut KnownOff<'_>) -> Result<&'o PoweredOff, Stop> {
        loop {
            off.fresh().await?;
            self.journal.confirm().await?;
            // Consul may have kept it waiting for longer than the proof counts.
            if off.is_fresh() {
                return off.fresh().await;
            }
        }
    }

    /// A read or an idempotent write of the tree, tried for as long as the lease allows.
    pub async fn retrying<T, F, Fut>(&self, doing: &'static str, call: F) -> Result<T, Stop>
    where
        F: Fn() -> Fut,
        Fut: Future<Output = Result<T, StoreError>>,
    {
        loop {
            self.lease.in_time()?;
            match call().await {
                Ok(value) => return Ok(value),
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, doing, "Consul did not answer, trying again");
                    self.world.clock.sleep(Duration::from_millis(500)).await;
                }
                Err(source) => return Err(Stop::Store { doing, source }),
            }
        }
    }
}
