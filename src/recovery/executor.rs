//! Drives one claimed incident through the table, step by step.
//!
//! The order is [`crate::incident::step::RECOVERY`]; this file adds nothing to it. Which value a
//! step demands is in its signature: everything after the fence takes a [`KnownOff`], which only a
//! fresh reading of the power makes, also when the journal says *fenced*.

use super::context::Context;
use super::evacuation::engine;
use super::proof::KnownOff;
use super::reports::wait::have_ceased;
use super::steps;
use super::stop::Stop;
use crate::incident::step::Step;

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
