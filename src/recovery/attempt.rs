//! One incident, begin to end: what is so now, whose it is, and the steps under its lock.

use std::time::Duration;

use super::arming::{Armed, arm};
use super::case::{self, Case};
use super::claim::{self, Taken};
use super::context::Context;
use super::device_words;
use super::earlier::Earlier;
use super::executor::drive;
use super::gather::{self, gather};
use super::hand_back::{self, ASKS_WITHIN, Turn};
use super::history::History;
use super::holder::{self, Life};
use super::lease::Lease;
use super::note;
use super::options::Options;
use super::plan::{Blocker, Plan, plan};
use super::queue::{self, Pending, Queue, Work};
use super::report::{Report, Result as Ending, elsewhere, given_back};
use super::reports::watch::Watch;
use super::retry;
use super::stop::Stop;
use super::world::World;
use crate::incident::guest::Summary;
use crate::incident::journal::{AdoptionGround, Event};
use crate::incident::note::Again;
use crate::keys;
use crate::names::IncidentId;
use crate::nova::Cloud;
use crate::recovery::evacuation::ledger;
use crate::store::Refusal;
use crate::tree::maintenance::Maintenance;

/// Pause between two tries of an incident that waits.
pub(super) const PAUSE: Duration = Duration::from_secs(2);

/// A host that was put into maintenance between its marking and the claim is not claimed: flags
/// and this HA node would be taken for a wait. Nor by a person's order: none is taken for a host in
/// maintenance, so that it was set after the order.
fn not_in_maintenance(case: &Case) -> Result<(), Stop> {
    let host = case.id.host();
    let maintenance =
        Maintenance::of(&case.tree, &keys::host(host)).map_err(|source| Stop::Tree { source })?;
    if maintenance.on {
        let why = maintenance.reason.unwrap_or_else(|| "no reason given".into());
        return Err(Stop::waiting(
            format!("{host} is in maintenance ({why})"),
            format!("nova-ha maintenance off {host}"),
        ));
    }
    Ok(())
}

/// Facts and plan; a plan that is blocked is a wait.
async fn prepare(
    world: &World,
    case: &Case,
) -> Result<(Box<dyn Cloud>, Armed, Result<Plan, Vec<Blocker>>), Stop> {
    let cloud = gather::cloud(world, case)?;
    let armed = arm(world, case).await;
    let facts = gather(world, case, &armed.facts, cloud.as_ref()).await?;
    let plan = plan(&facts);
    Ok((cloud, armed, plan))
}

/// One try of one incident.
///
/// # Errors
/// Why it does not go on now.
pub(super) async fn attempt(
    world: &World,
    options: &Options,
    queue: &Queue,
    pending: &Pending,
    work: Work,
) -> Result<Report, Stop> {
    let id = pending.id();
    let ground = match &work {
        Work::Adopt(holder) if !options.plan_only => match holder::life(world, holder).await? {
            Life::Dead { verdict, guard: _ } => Some(AdoptionGround::HolderDead { verdict }),
            life @ (Life::Lives(_) | Life::CannotTell { .. }) => {
                let why = life.why_not_dead().unwrap_or_default();
                let mut text = format!("HA node {holder} has it ({why})");
                if queue.in_use_by.as_ref() == Some(id)
                    && let Some(asked) = asked_for(world, id).await?
                {
                    text += &format!("; {asked}");
                }
                return Ok(Report {
                    incident: id.clone(),
                    result: Ending::Elsewhere,
                    text,
                    next: vec![format!("nova-ha incident show {id}")],
                    plan: None,
                });
            }
        },
        Work::Resume => Some(AdoptionGround::SameNode),
        Work::TakeUp => Some(AdoptionGround::NobodyHeld),
        Work::Claim | Work::Adopt(_) | Work::Held(_) => None,
    };
    if !options.plan_only && queue.in_use && queue.in_use_by.as_ref() != Some(id) {
        let (reason, next) = note::busy(world, queue.in_use_by.as_ref());
        return Err(Stop::waiting(reason, next));
    }
    let mut case = case::load(world, id).await?;
    let history = match work {
        Work::Claim => History::default(),
        Work::Resume | Work::TakeUp | Work::Adopt(_) | Work::Held(_) => {
            // By the record as it was seen then it was decided whose it is.
            if case.record != pending.record {
                return Err(Stop::Moved { what: keys::incident(id).incident() });
            }
            // Read after the record that the adoption compares: an earlier holder that is voted dead and
            // lives may write until then, and whatever this lacks makes Consul refuse the adoption.
            History::read(world, id).await?
        }
    };
    let mut earlier = match &ground {
        Some(_) if !options.plan_only => Earlier::of(world, &history, pending.record.holder.as_ref()).await?,
        Some(_) | None => Earlier::default(),
    };
    if let (Some(AdoptionGround::HolderDead { .. }), Some(dead)) = (&ground, &pending.record.holder) {
        earlier.boots.adopted_from(dead);
    }
    history.same_strategy(id, &world.me, &case.storage.strategy)?;
    case.disks.clone_from(&history.disks);
    case.idle.clone_from(&history.idle);
    if work == Work::Claim {
        not_in_maintenance(&case)?;
    }
    let (cloud, armed, plan) = prepare(world, &case).await?;
    if !options.plan_only && armed.have_several {
        device_words::end_answered(world, id, &armed.given.words).await;
        device_words::say(world, id, armed.levels.described(), &armed.devices).await;
    }
    let plan = match plan {
        Ok(plan) => plan,
        Err(blockers) => {
            let reasons: Vec<&str> = blockers.iter().map(|blocker| blocker.reason.as_str()).collect();
            if !options.plan_only
                && let Some(reason) = retry::end_untaken(world, &case, pending, &reasons.join("; ")).await?
            {
                return Ok(ended_again(id, &reason));
            }
            return Err(Stop::Waiting {
                reasons: blockers.iter().map(|b| b.reason.clone()).collect(),
                next: blockers.into_iter().map(|b| b.next).collect(),
            });
        }
    };
    if options.plan_only {
        return Ok(Report {
            incident: id.clone(),
            result: Ending::Planned,
            text: plan.text(),
            next: Vec::new(),
            plan: Some(Box::new(plan)),
        });
    }
    let name = format!("nova-ha {id} on {}", world.me);
    let lease = Lease::take(world.store.as_ref(), world.clock.as_ref(), &case.policy, name)
        .await
        .map_err(|source| Stop::Store { doing: "make a session", source })?;
    let worked = tokio::select! {
        biased;
        lost = lease.keep() => Err(Stop::Lease { source: lost }),
        never = note::behind(world, id) => match never {},
        worked = hold(world, options, pending, &case, &plan, &armed, cloud.as_ref(), &lease, ground, earlier) => worked,
    };
    lease.release().await;
    worked
}

/// Asks for an incident that this HA node is in use for, and that another one has which lives.
async fn asked_for(world: &World, id: &IncidentId) -> Result<Option<String>, Stop> {
    let mut case = case::load(world, id).await?;
    case.disks = History::read(world, id).await?.disks;
    hand_back::ask(world, &case).await
}

/// Everything that happens under the lease.
#[allow(
    clippy::too_many_arguments,
    reason = "all of it is what a lease is held for; a struct of it would be Context"
)]
async fn hold(
    world: &World,
    options: &Options,
    pending: &Pending,
    case: &Case,
    plan: &Plan,
    armed: &Armed,
    cloud: &dyn Cloud,
    lease: &Lease<'_>,
    ground: Option<AdoptionGround>,
    earlier: Earlier,
) -> Result<Report, Stop> {
    let id = &case.id;
    let journal = match ground {
        None => match claim::claim(world, lease, case, plan).await? {
            Taken::Yes(journal) => journal,
            Taken::No(why) => return Ok(elsewhere(id, &why)),
        },
        Some(ground) => match adopt(world, options, pending, case, plan, lease, ground).await? {
            Taken::Yes(journal) => journal,
            Taken::No(why) => return Ok(elsewhere(id, &why)),
        },
    };
    let mut context = Context {
        world,
        lease,
        journal: *journal,
        case,
        plan,
        cloud,
        levels: &armed.levels,
        earlier,
        members_seen: case.disks.members_seen.clone(),
        members_first_seen: None,
        retried_on: Vec::new(),
        reports: Watch::new(case.policy.nova_report_interval, plan.first_reading.as_ref()),
    };
    let began = world.clock.boottime();
    loop {
        let worked = || world.clock.boottime().saturating_duration_since(began);
        let mut patience = options.patience;
        let stop = match drive(&mut context).await {
            Ok(()) => return close(&mut context).await,
            Err(Stop::HolderLives { lives }) => {
                // So long it may take to ask, in this run; then it is held, in the turn after that.
                let asks_within = patience.max(ASKS_WITHIN);
                patience = asks_within + PAUSE * 2;
                match hand_back::turn(&mut context, &lives, worked() >= asks_within).await {
                    Ok(Turn::GivenBack) => return Ok(given_back(id, &lives.node)),
                    Ok(Turn::Not(stop)) | Err(stop) => stop,
                }
            }
            Err(stop) => stop,
        };
        if let Some(reason) = retry::ends(&context, &stop, worked() >= patience).await? {
            return retry_ended(&mut context, reason).await;
        }
        match stop {
            Stop::HolderLives { lives } => return Err(Stop::HolderLives { lives }),
            Stop::Foreign { flag } => {
                claim::unlock(&context).await;
                return Err(Stop::Foreign { flag });
            }
            Stop::Waiting { reasons, next } => {
                note::write_tried(world, id, &reasons, &next, Again::InThisRun).await;
                tracing::warn!(incident = %id, host = %id.host(), "waiting: {}", reasons.join("; "));
                if worked() >= patience {
                    claim::unlock(&context).await;
                    return Err(Stop::Waiting { reasons, next });
                }
                wait(&context).await?;
            }
            Stop::OnlySaid { why } => {
                note::write_tried(world, id, &[why.text()], &why.next(), Again::InThisRun).await;
                tracing::warn!(incident = %id, host = %id.host(), "waiting: {why}");
                if worked() >= patience {
                    claim::unlock(&context).await;
                    return Err(Stop::OnlySaid { why });
                }
                wait(&context).await?;
            }
            Stop::Held { reason, cause } => {
                // Nobody else can go on while the storage is here.
                if !claim::is_consumed(context.case, context.journal.record()) {
                    context.journal.let_go();
                }
                end(&mut context, Event::Held { reason: reason.clone(), cause }).await?;
                return Err(Stop::Held { reason, cause });
            }
            Stop::Withdrawn { reason } => {
                end(&mut context, Event::Withdrawn { reason: reason.clone() }).await?;
                return Err(Stop::Withdrawn { reason });
            }
            other @ (Stop::Lease { .. }
            | Stop::Twin { .. }
            | Stop::Moved { .. }
            | Stop::Store { .. }
            | Stop::Tree { .. }
            | Stop::Journal { .. }) => {
                return Err(other);
            }
        }
    }
}

/// Until it is tried again. What a person said meanwhile counts at once: an order, a hold.
///
/// # Errors
/// The incident is not ours as it was.
async fn wait(context: &Context<'_>) -> Result<(), Stop> {
    context.world.clock.sleep(PAUSE).await;
    match context.journal.confirm().await {
        Ok(()) => Ok(()),
        Err(moved) => {
            claim::unlock(context).await;
            Err(moved)
        }
    }
}

/// Tries until the earlier holder's session has ended and its lock-delay is over; that it is dead is judged again right
/// before each try.
async fn adopt<'a>(
    world: &'a World,
    options: &Options,
    pending: &Pending,
    case: &Case,
    plan: &Plan,
    lease: &'a Lease<'a>,
    ground: AdoptionGround,
) -> Result<Taken<'a>, Stop> {
    let began = world.clock.boottime();
    let mut pending = pending.clone();
    loop {
        // The verdict of a minute ago is none: it may be back.
        let ground = match (&ground, &case.record.holder) {
            (AdoptionGround::HolderDead { .. }, Some(holder)) if pending.locked_by.is_none() => {
                match holder::life(world, holder).await? {
                    Life::Dead { verdict, guard: _ } => AdoptionGround::HolderDead { verdict },
                    life @ (Life::Lives(_) | Life::CannotTell { .. }) => {
                        let what = life.why_not_dead().unwrap_or_default();
                        let key = format!("HA node {holder} has it");
                        return Ok(Taken::No(vec![Refusal { key, what }]));
                    }
                }
            }
            (
                ground @ (AdoptionGround::HolderDead { .. }
                | AdoptionGround::SameNode
                | AdoptionGround::NobodyHeld),
                _,
            ) => ground.clone(),
        };
        let taken = claim::adopt(world, lease, case, &pending, plan, ground).await?;
        let Taken::No(why) = taken else { return Ok(taken) };
        let lock = keys::incident(&case.id).lock();
        let only_the_lock = why.iter().all(|refusal| refusal.key == lock);
        let patience = options.patience.max(case.policy.session_ttl * 2 + case.policy.lock_delay * 2);
        if !only_the_lock || world.clock.boottime().saturating_duration_since(began) >= patience {
            return Ok(Taken::No(why));
        }
        world.clock.sleep(PAUSE).await;
        let queue = queue::look(world, Some(case.id.host())).await?;
        match queue.pending.into_iter().find(|now| now.id() == &case.id) {
            Some(now) if now.record == case.record => pending = now,
            Some(_) | None => return Ok(Taken::No(why)),
        }
    }
}

/// Ends or holds: the event, the lock given back and this HA node free again, in one transaction.
async fn end(context: &mut Context<'_>, event: Event) -> Result<(), Stop> {
    let (record, term) = (context.journal.record().clone(), context.journal.term());
    let mut ops = claim::give_back(context.world, context.lease, context.case, &record, term).await?;
    ops.push(note::removed(&record.id));
    context.journal.append(event, ops).await
}

/// As it was before the retry: what it left held waits.
async fn retry_ended(context: &mut Context<'_>, reason: String) -> Result<Report, Stop> {
    end(context, Event::RetryEnded { reason: reason.clone() }).await?;
    Ok(ended_again(&context.case.id, &reason))
}

fn ended_again(id: &IncidentId, reason: &str) -> Report {
    Report {
        incident: id.clone(),
        result: Ending::Partial,
        text: format!("closed again, nothing was asked for: {reason}"),
        next: vec![format!("nova-ha incident show {id}")],
        plan: None,
    }
}

async fn close(context: &mut Context<'_>) -> Result<Report, Stop> {
    let lines = ledger::read(context).await?;
    let summary = Summary::of_entries(lines.values().map(|line| &line.entry));
    end(context, Event::Closed { summary: summary.to_string() }).await?;
    let result = if summary.is_partial() { Ending::Partial } else { Ending::Closed };
    let next = vec![format!("nova-ha incident show {}", context.case.id)];
    Ok(Report {
        incident: context.case.id.clone(),
        result,
        text: format!("closed: {summary}"),
        next,
        plan: None,
    })
}
