//! The guests' disks are where they will run.
//!
//! Storage `shared`: every target sees them already; there is nothing to take, and nothing that two
//! hosts could write at once but a host that was proved off. Storage `md`: the host's own arrays are taken
//! over. Storage `exec`: a site's own program takes it, and says so. What is said is believed only when it
//! is clear: anything else is held, and nothing is asked of Nova.

use crate::fence::off::Changed;
use crate::incident::journal::{Event, HeldCause, Outcome};
use crate::incident::step::Step;
use crate::names::HaNodeName;
use crate::recovery::context::Context;
use crate::recovery::evacuation::survey::survey;
use crate::recovery::holder::{self, Life};
use crate::recovery::proof::KnownOff;
use crate::recovery::stop::Stop;
use crate::recovery::storage::answer::Answer;
use crate::recovery::storage::md;
use crate::recovery::storage::progress::Progress;
use crate::recovery::storage::strategy;
use crate::tree::storage::Strategy;

/// Takes it, or finds it taken.
pub async fn run(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    let by = off.fresh().await?.by().to_owned();
    let off_by = format!("off: {by}");
    let Some(before) = look(context).await else {
        context.started(Step::TakeStorage, Vec::new()).await?;
        let facts = vec![format!("shared: nothing to take; {off_by}")];
        return context.finished(Step::TakeStorage, Outcome::AlreadySo, facts).await;
    };
    let facts = vec![before.text(), off_by];
    match before {
        Answer::Taken { detail, .. } => {
            // It may be here by itself (a pool that is imported at boot), and there too.
            context.earlier.begun_here = true;
            earlier_holders_are_off(context).await?;
            context.started(Step::TakeStorage, facts).await?;
            let facts = vec![format!("taken: {detail}"), survey(context).await];
            context.finished(Step::TakeStorage, Outcome::AlreadySo, facts).await
        }
        Answer::Ready { .. } => {
            earlier_holders_are_off(context).await?;
            context.started(Step::TakeStorage, facts).await?;
            let (detail, more) = take(context, off).await?;
            let mut facts = vec![format!("taken: {detail}"), survey(context).await];
            facts.extend(more);
            context.finished(Step::TakeStorage, Outcome::Changed, facts).await
        }
        Answer::Refused { detail } => Err(refused(context, &detail)),
        Answer::Contradicted { detail } => Err(contradicted(context, &detail)),
        Answer::HostLives { detail } => Err(host_lives(context, &detail)),
        Answer::CannotTell { why } => Err(unknown(context, &why)),
    }
}

/// What the host's disks say as soon as it is off, to be compared with what they say before anything is written to them.
/// What is in the way of that look is in the way of the step, which says it.
pub async fn first_look(context: &mut Context<'_>) -> Result<(), Stop> {
    match context.case.storage.strategy {
        Strategy::Md => md::take::first_look(context).await,
        Strategy::Shared | Strategy::Exec { .. } | Strategy::Refused { .. } => Ok(()),
    }
}

/// Once more, where the journal says that it was taken: by an HA node that died since, or before
/// this one booted.
pub async fn again(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(), Stop> {
    match look(context).await {
        None => Ok(()),
        Some(Answer::Taken { .. }) => {
            context.earlier.begun_here = true;
            earlier_holders_are_off(context).await
        }
        Some(Answer::Ready { detail }) => {
            tracing::warn!(incident = %context.case.id, detail, "the storage is not here any more; it is taken again");
            earlier_holders_are_off(context).await?;
            take(context, off).await.map(drop)
        }
        Some(Answer::Refused { detail }) => Err(refused(context, &detail)),
        Some(Answer::Contradicted { detail }) => Err(contradicted(context, &detail)),
        Some(Answer::HostLives { detail }) => Err(host_lives(context, &detail)),
        Some(Answer::CannotTell { why }) => Err(unknown(context, &why)),
    }
}

/// That no earlier holder has it, known before this HA node begins anything, so that the incident can still be given back
/// to one that lives.
pub async fn nobody_else_has_it(context: &mut Context<'_>) -> Result<(), Stop> {
    match context.earlier.took_storage.is_empty() {
        true => Ok(()),
        false => match look(context).await {
            Some(Answer::Ready { .. } | Answer::Taken { .. }) => earlier_holders_are_off(context).await,
            // Nothing is begun: what is in the way may be that an earlier holder has it, which may then still ask for it.
            Some(Answer::Refused { detail }) => Err(refused(context, &detail)),
            Some(Answer::CannotTell { why }) => Err(unknown(context, &why)),
            Some(Answer::Contradicted { detail }) => Err(contradicted(context, &detail)),
            Some(Answer::HostLives { detail }) => Err(host_lives(context, &detail)),
            None => Ok(()),
        },
    }
}

fn guests(context: &Context<'_>) -> Vec<String> {
    context.plan.guests.iter().map(|guest| guest.server.clone()).collect()
}

async fn look(context: &Context<'_>) -> Option<Answer> {
    let progress = Progress { phase: context.journal.status().phase, members_seen: &context.members_seen };
    strategy::check(context.world, context.case, &progress, &guests(context)).await
}

/// Takes it, and believes only a look afterwards (with storage `md` taking it ends with one).
///
/// Returns what was taken, and what there is to say beside it.
///
/// After a take that was killed or broke off, a clear *ready* lets it be tried again: each strategy can go on
/// from wherever it was killed, and keeps an earlier run out that may live on. A crash of our own stands on the
/// same. It is tried again only under a fresh proof of *off*. Anything less clear than *ready* is held.
async fn take(context: &mut Context<'_>, off: &mut KnownOff<'_>) -> Result<(String, Option<String>), Stop> {
    context.earlier.begun_here = true;
    let said = match strategy::take(context, &guests(context), off).await? {
        Some(Answer::Refused { detail }) => return Err(refused(context, &detail)),
        Some(Answer::Contradicted { detail }) => return Err(contradicted(context, &detail)),
        Some(Answer::HostLives { detail }) => return Err(host_lives(context, &detail)),
        Some(Answer::Taken { detail, more }) if context.case.storage.strategy == Strategy::Md => {
            return Ok((detail, more));
        }
        Some(answer) => answer.text(),
        None => String::new(),
    };
    match look(context).await {
        Some(Answer::Taken { detail, more }) => Ok((detail, more)),
        Some(Answer::Ready { detail }) => Err(not_taken(context, &format!("{said}; then ready: {detail}"))),
        Some(Answer::Refused { detail }) => Err(unknown(context, &format!("{said}; then refused: {detail}"))),
        Some(Answer::Contradicted { detail }) => {
            Err(contradicted(context, &format!("{said}; then {detail}")))
        }
        Some(Answer::HostLives { detail }) => Err(host_lives(context, &format!("{said}; then {detail}"))),
        Some(Answer::CannotTell { why }) => {
            Err(unknown(context, &format!("{said}; then cannot tell: {why}")))
        }
        None => Err(unknown(context, "this HA node has no way to take it")),
    }
}

/// An HA node that began to take it may have it mounted: two writers are the end of a filesystem. So it must be
/// proved off, now; with storage `md` it is powered off for that, if it is dead by the rules.
async fn earlier_holders_are_off(context: &mut Context<'_>) -> Result<(), Stop> {
    let is_md = context.case.storage.strategy == Strategy::Md;
    for node in context.earlier.took_storage.clone() {
        match holder::prove(context.world, &node).await? {
            Some(proof) if is_md => is_off(context, &node, Outcome::AlreadySo, proof.by()).await?,
            Some(_) => {}
            None if is_md => fence_holder(context, &node).await?,
            None => {
                if let Life::Lives(lives) = holder::life(context.world, &node).await? {
                    return Err(Stop::HolderLives { lives });
                }
                return Err(Stop::waiting(
                    format!(
                        "{node} may have the storage of {} mounted, and is not proved off",
                        context.case.id.host()
                    ),
                    format!("power {node} off, or make its BMC answer: nova-ha ha-node show {node}"),
                ));
            }
        }
    }
    Ok(())
}

/// Shoots an earlier holder. Votes of now decide, as for any machine, and the journal has it before it happens: once
/// in a run, however often it is tried.
async fn fence_holder(context: &mut Context<'_>, node: &HaNodeName) -> Result<(), Stop> {
    let judged_at = context.world.clock.boottime();
    let verdict = holder::may_be_shot(context.world, node).await?;
    match context.earlier.being_fenced.contains(node) {
        true => context.journal.confirm().await?,
        false => {
            let event = Event::FencingHolder { node: node.clone(), verdict };
            context.journal.append(event, Vec::new()).await?;
            context.earlier.being_fenced.insert(node.clone());
        }
    }
    let off = holder::power_off(context.world, node, &context.journal, judged_at).await;
    context.earlier.commanded.insert(node.clone(), context.world.clock.boottime());
    let (proof, changed) = off?;
    let outcome = match changed {
        Changed::Yes => Outcome::Changed,
        Changed::AlreadySo => Outcome::AlreadySo,
    };
    is_off(context, node, outcome, proof.by()).await
}

async fn is_off(
    context: &mut Context<'_>,
    node: &HaNodeName,
    outcome: Outcome,
    by: &str,
) -> Result<(), Stop> {
    let event = Event::HolderFenced { node: node.clone(), outcome, by: by.to_owned() };
    context.journal.append(event, Vec::new()).await?;
    context.earlier.is_off(node);
    Ok(())
}

fn refused(context: &Context<'_>, detail: &str) -> Stop {
    let place = strategy::place(context.world, context.case);
    Stop::waiting(
        format!("the storage of {} cannot be taken now: {detail}", context.case.id.host()),
        format!("put right what it says; look at {place}"),
    )
}

fn contradicted(context: &Context<'_>, detail: &str) -> Stop {
    Stop::held(format!(
        "the storage of {} is not what it published: {detail}; look, then nova-ha incident resume {} --by NAME",
        context.case.id.host(),
        context.case.id
    ))
}

/// Its guests run there: nothing more is asked for before a person has cut its power.
fn host_lives(context: &Context<'_>, detail: &str) -> Stop {
    let (host, id) = (context.case.id.host(), &context.case.id);
    let reason = format!(
        "{host}: its power reads off, and it writes to its disks: it lives: {detail}; pull its plug, see that it is off, \
         then nova-ha incident resume {id} --by NAME"
    );
    Stop::Held { reason, cause: Some(HeldCause::HostLives) }
}

/// It may be tried again, and is.
fn not_taken(context: &Context<'_>, why: &str) -> Stop {
    let place = strategy::place(context.world, context.case);
    Stop::waiting(
        format!("the storage of {} was not taken, and is tried again: {why}", context.case.id.host()),
        format!("if that does not help, look at {place}"),
    )
}

/// An array that is being stopped, a disk that is slow: with storage `md` it is our own look, which changes nothing, and
/// is over in a second. What a site's program says is not asked again behind a person's back.
fn unknown(context: &Context<'_>, why: &str) -> Stop {
    if context.case.storage.strategy == Strategy::Md {
        let place = strategy::place(context.world, context.case);
        let host = context.case.id.host();
        return Stop::waiting(
            format!(
                "nobody can tell whether the storage of {host} is here, and it is looked at again: {why}"
            ),
            format!("if that does not help, look at {place}"),
        );
    }
    Stop::held(format!(
        "nobody can tell whether the storage of {} is here: {why}; look, then nova-ha incident resume {} --by NAME",
        context.case.id.host(),
        context.case.id
    ))
}
