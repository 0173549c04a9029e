//! Drives one claimed incident through the table, step by step.
//!
//! The order is [`crate::incident::step::RECOVERY`], and what each step has to do with the proof that the host is off;
//! this file adds nothing to it. Which value a step demands is in its signature: everything after the fence that changes
//! something takes a [`KnownOff`], which only a fresh reading of the power makes, also when the journal says *fenced*.

use super::context::Context;
use super::evacuation::engine;
use super::proof::KnownOff;
use super::reports::wait::have_ceased;
use super::steps;
use super::stop::Stop;
use crate::incident::step::{PowerOff, Step};

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
        let needed = match step.row().power_off {
            PowerOff::Proves | PowerOff::NotNeeded => false,
            PowerOff::Needed => true,
            PowerOff::NeededForWhoIsLeft => !steps::verify::is_accounted_for(context).await?,
        };
        // The journal may say *fenced*; the power is read again all the same.
        if needed && off.is_none() {
            off = Some(steps::fence::prove_again(context).await?);
        }
        match (step, off.as_mut().filter(|_| needed)) {
            (Step::Fence, None) => off = Some(steps::fence::run(context).await?),
            (Step::ReadyTarget, None) => steps::ready_target::run(context).await?,
            (Step::Verify, None) => steps::verify::run(context).await?,
            (Step::DeclareDown, Some(known)) => {
                // The time until it is declared down is time in which a host that lives would write to its disks.
                steps::take_storage::first_look(context).await?;
                steps::declare_down::run(context, known).await?;
            }
            (Step::TakeStorage, Some(known)) => steps::take_storage::run(context, known).await?,
            (Step::Evacuate, Some(known)) => steps::evacuate::run(context, known).await?,
            (Step::Verify, Some(known)) => for_who_is_left(context, known).await?,
            (step @ (Step::Fence | Step::ReadyTarget), Some(_))
            | (step @ (Step::DeclareDown | Step::TakeStorage | Step::Evacuate), None) => {
                let why = format!("the table of steps and what {} takes do not agree", step.name());
                return Err(Stop::Journal { incident: context.case.id.to_string(), why });
            }
        }
    }
    Ok(())
}

/// Somebody is left: one that Nova placed there late, or one that a person led out of a hold.
async fn for_who_is_left(context: &mut Context<'_>, known: &mut KnownOff<'_>) -> Result<(), Stop> {
    // No entry is written first: a person's hold must be seen before anything is done.
    context.journal.confirm().await?;
    steps::take_storage::nobody_else_has_it(context).await?;
    steps::declare_down::again(context, known).await?;
    steps::take_storage::again(context, known).await?;
    let ceased = have_ceased(context, known).await?;
    engine::run(context, known, &ceased).await?;
    steps::verify::run(context).await
}
