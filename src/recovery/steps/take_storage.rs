//! The guests' disks are where they will run.
//!
//! Storage `shared`: every target sees them already; there is nothing to take, and nothing that two
//! hosts could write at once but a host that was proved off. Storage `exec`: a site's own program
//! takes it, and says so. What it says is believed only when it is clear: anything else is held, and
//! nothing is asked of Nova.

use crate::fence::off::Permission;
use crate::incident::journal::Outcome;
use crate::incident::step::Step;
use crate::recovery::executor::Context;
use crate::recovery::history::strategy_fact;
use crate::recovery::holder;
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;
use crate::recovery::storage::contract::{Answer, Verb};
use crate::recovery::storage::exec;

/// Takes it, or finds it taken.
pub async fn run(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    let by = off.fresh().await?.by().to_owned();
    let off_by = format!("off: {by}");
    let Some(before) = look(context).await else {
        context.started(Step::TakeStorage, vec![strategy_fact(&context.case.storage.strategy)]).await?;
        let facts = vec![format!("shared: nothing to take; {off_by}")];
        return context.finished(Step::TakeStorage, Outcome::AlreadySo, facts).await;
    };
    let facts = vec![strategy_fact(&context.case.storage.strategy), before.text(), off_by];
    match before {
        Answer::Taken { detail } => {
            // It may be here by itself (a pool that is imported at boot), and there too.
            earlier_holders_are_off(context).await?;
            context.started(Step::TakeStorage, facts).await?;
            let facts = vec![format!("taken: {detail}")];
            context.finished(Step::TakeStorage, Outcome::AlreadySo, facts).await
        }
        Answer::Ready { .. } => {
            earlier_holders_are_off(context).await?;
            context.started(Step::TakeStorage, facts).await?;
            let detail = take(context, off).await?;
            let facts = vec![format!("taken: {detail}")];
            context.finished(Step::TakeStorage, Outcome::Changed, facts).await
        }
        Answer::Refused { detail } => Err(refused(context, &detail)),
        Answer::CannotTell { why } => Err(unknown(context, &why)),
    }
}

/// Once more, where the journal says that it was taken: by an HA node that died since, or before
/// this one booted.
pub async fn again(context: &Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    match look(context).await {
        None => Ok(()),
        Some(Answer::Taken { .. }) => earlier_holders_are_off(context).await,
        Some(Answer::Ready { detail }) => {
            tracing::warn!(incident = %context.case.id, detail, "the storage is not here any more; it is taken again");
            earlier_holders_are_off(context).await?;
            take(context, off).await.map(drop)
        }
        Some(Answer::Refused { detail }) => Err(refused(context, &detail)),
        Some(Answer::CannotTell { why }) => Err(unknown(context, &why)),
    }
}

fn guests(context: &Context<'_>) -> Vec<String> {
    context.plan.guests.iter().map(|guest| guest.server.clone()).collect()
}

async fn look(context: &Context<'_>) -> Option<Answer> {
    exec::ask(context.world, context.case, Verb::Check, &guests(context), None).await
}

/// Asks the program to take it, and believes only its `check` afterwards.
///
/// After a take that was killed or broke off, a clear *ready* lets it be asked again: the contract
/// demands that `take` can be run again from wherever it was killed, and that it keeps an earlier run
/// out that may live on. A crash of our own stands on the same. It is asked again only under a fresh
/// proof of *off*. Anything less clear than *ready* is held.
async fn take(context: &Context<'_>, off: &mut KnownOff<'_>) -> Result<String, Stop> {
    let by = off.fresh().await?.by().to_owned();
    context.lease.check()?;
    let (world, case) = (context.world, context.case);
    let taken = exec::ask(world, case, Verb::Take, &guests(context), Some(&by)).await;
    if let Some(Answer::Refused { detail }) = &taken {
        return Err(refused(context, detail));
    }
    let said = taken.map_or_else(String::new, |answer| answer.text());
    match look(context).await {
        Some(Answer::Taken { detail }) => Ok(detail),
        Some(Answer::Ready { detail }) => Err(not_taken(context, &format!("{said}; then ready: {detail}"))),
        Some(Answer::Refused { detail }) => Err(unknown(context, &format!("{said}; then refused: {detail}"))),
        Some(Answer::CannotTell { why }) => {
            Err(unknown(context, &format!("{said}; then cannot tell: {why}")))
        }
        None => Err(unknown(context, "this HA node has no storage program")),
    }
}

/// An HA node that began to take it may have it mounted: two writers are the end of a filesystem. So
/// it must be proved off, now.
async fn earlier_holders_are_off(context: &Context<'_>) -> Result<(), Stop> {
    for node in &context.earlier.took_storage {
        if !holder::is_off(context.world, node).await? {
            return Err(Stop::waiting(
                format!(
                    "{node} may have the storage of {} mounted, and is not proved off",
                    context.case.id.host()
                ),
                format!("power {node} off, or make its BMC answer: nova-ha ha-node show {node}"),
            ));
        }
    }
    Ok(())
}

fn refused(context: &Context<'_>, detail: &str) -> Stop {
    let key = crate::keys::ha_node(&context.world.me).storage_exec();
    Stop::waiting(
        format!("the storage program of {} refuses: {detail}", context.world.me),
        format!("put right what it says (the program is in {key})"),
    )
}

/// It may be asked again, and is.
fn not_taken(context: &Context<'_>, why: &str) -> Stop {
    let key = crate::keys::ha_node(&context.world.me).storage_exec();
    Stop::waiting(
        format!("the storage program of {} did not take it, and is asked again: {why}", context.world.me),
        format!("look at its log if that does not help (the program is in {key})"),
    )
}

fn unknown(context: &Context<'_>, why: &str) -> Stop {
    Stop::held(format!(
        "nobody can tell whether the storage of {} is here: {why}; look, then nova-ha incident resume {}",
        context.case.id.host(),
        context.case.id
    ))
}
