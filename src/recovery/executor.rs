//! Drives one claimed incident through the table, step by step.
//!
//! The order is [`crate::incident::step::RECOVERY`]; this file adds nothing to it. Which value a
//! step demands is in its signature: everything after the fence takes a [`KnownOff`], which only a
//! fresh reading of the power makes, also when the journal says *fenced*.

use std::future::Future;
use std::time::Duration;

use super::evacuation::engine;
use super::facts::Case;
use super::history::{Earlier, MembersSeen};
use super::journal::Journal;
use super::lease::Lease;
use super::plan::Plan;
use super::proof::KnownOff;
use super::reports::wait::have_ceased;
use super::reports::watch::Watch;
use super::steps;
use super::stop::Stop;
use super::world::World;
use crate::clock::BootInstant;
use crate::fence::FenceLevels;
use crate::fence::PoweredOff;
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

/// Goes on from wherever the journal is until every guest is accounted for. Leaves the incident in
/// phase *verified*; closing it is the caller's transaction.
pub async fn drive(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut off: Option<KnownOff<'_>> = None;
    if context.journal.status().next_step().is_none() {
        return steps::verify::again(context).await;
    }
    if context.journal.status().may_end_retry() {
        off = Some(steps::retry::begin(context).await?);
    }
    while let Some(step) = context.journal.status().next_step() {
        tracing::info!(incident = %context.case.id, host = %context.case.id.host(), step = step.name(), "begins");
        if step == Step::Fence {
            off = Some(steps::fence::run(context).await?);
            continue;
        }
        if step == Step::ReadyTarget {
            steps::ready_target::run(context).await?;
            continue;
        }
        if step == Step::Verify && steps::verify::is_accounted_for(context).await? {
            steps::verify::run(context).await?;
            continue;
        }
        // The journal may say *fenced*; the power is read again all the same.
        let known = match off.take() {
            Some(known) => known,
            None => steps::fence::prove_again(context).await?,
        };
        let known = off.insert(known);
        match step {
            Step::DeclareDown => {
                // The time until it is declared down is time in which a host that lives would write to its disks.
                steps::take_storage::first_look(context).await?;
                steps::declare_down::run(context, known).await?;
            }
            Step::TakeStorage => steps::take_storage::run(context, known).await?,
            Step::Evacuate => steps::evacuate::run(context, known).await?,
            // Somebody is left: one that Nova placed there late, or one that a person led out of a hold.
            Step::Verify => {
                // No entry is written first: a person's hold must be seen before anything is done.
                context.journal.confirm().await?;
                steps::take_storage::nobody_else_has_it(context).await?;
                steps::declare_down::again(context, known).await?;
                steps::take_storage::again(context, known).await?;
                let ceased = have_ceased(context, known).await?;
                engine::run(context, known, &ceased).await?;
                steps::verify::run(context).await?;
            }
            Step::Fence | Step::ReadyTarget => {}
        }
    }
    Ok(())
}
