//! One execution of `nova-ha-recover`: until nothing is claimable.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::claim::{self, Taken};
use super::executor::{Context, drive};
use super::facts::{self, Armed, Case};
use super::hand_back::{self, ASKS_WITHIN, Turn};
use super::history::{Earlier, History};
use super::holder::{self, Life};
use super::lease::Lease;
use super::note;
use super::plan::{Blocker, Plan, plan};
use super::prune::prune;
use super::queue::{self, Pending, Queue, Work};
use super::reports::watch::Watch;
use super::stop::Stop;
use super::takeovers;
use super::twin;
use super::word;
use super::world::{World, chain};
use crate::attention::Severity;
use crate::incident::guest::Summary;
use crate::incident::journal::{AdoptionGround, Event};
use crate::keys;
use crate::names::{HaNodeName, HostName, IncidentId};
use crate::recovery::evacuation::ledger;
use crate::store::Refusal;
use crate::tree::formats::published::publish;
use crate::tree::maintenance::Maintenance;
use crate::tree::namesake::OwnName;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// This host's incident only.
    pub only: Option<HostName>,
    /// Print what would be done, and do nothing.
    pub plan_only: bool,
    /// How long one execution goes on trying an incident that it has claimed and that waits.
    pub patience: Duration,
}

/// What became of one incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// Every guest accounted for.
    Closed,
    /// Closed, and not every guest runs.
    Partial,
    /// The host came back before the point of no return.
    Withdrawn,
    /// Only a person leads on.
    Held,
    /// Something must change first; the next run tries again.
    Waiting,
    /// Another HA node has it.
    Elsewhere,
    /// What would be done (`--plan`).
    Planned,
    /// The lease or Consul was lost; the next run resumes.
    Interrupted,
    /// What is written of it cannot be understood: nobody works on it.
    Unreadable,
}

/// One incident's line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Which.
    pub incident: IncidentId,
    /// What became of it.
    pub result: Result,
    /// Why, in one line (several for a plan).
    pub text: String,
    /// The operator's next commands.
    pub next: Vec<String>,
    /// With `--plan`, the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<Plan>>,
}

impl Report {
    /// Whether a person should look.
    pub fn needs_attention(&self) -> bool {
        match self.result {
            Result::Closed | Result::Elsewhere | Result::Planned => false,
            Result::Partial
            | Result::Withdrawn
            | Result::Held
            | Result::Waiting
            | Result::Interrupted
            | Result::Unreadable => true,
        }
    }
}

/// Pause between two tries of an incident that waits.
const PAUSE: Duration = Duration::from_secs(2);

/// How often one execution looks again because somebody else wrote an incident that it works on.
const MOST_MOVES: u32 = 8;

/// Incidents that one execution works on; above any storm limit.
const MOST_CASES: usize = 256;

/// Works until nothing is claimable; a line per pending incident.
pub async fn run(world: &World, options: &Options) -> std::result::Result<Vec<Report>, Stop> {
    let agent = twin::by_its_agent(world).await?;
    if !options.plan_only {
        // What it could not say now the next run says. Until then the others write for an older build.
        match publish(world.store.as_ref(), &world.me).await {
            Ok(true) => tracing::info!(ha_node = %world.me, "published which formats it reads"),
            Ok(false) => {}
            Err(error) => {
                let next = error.hint().unwrap_or_default();
                tracing::warn!(error = %chain(&error), next, "cannot publish which formats this HA node reads");
            }
        }
    }
    takeovers::are_known_to_the_tree(world).await?;
    let mut reports: Vec<Report> = Vec::new();
    let mut tried: BTreeSet<IncidentId> = BTreeSet::new();
    let mut moved = 0;
    let mut unreadable = Vec::new();
    for _ in 0..MOST_CASES {
        let mut queue = queue::look(world, options.only.as_ref()).await?;
        unreadable = std::mem::take(&mut queue.unreadable);
        let mut unclear = nothing_is_a_twins(world, &agent, &queue).await?;
        if tried.is_empty() && !options.plan_only {
            for pending in &queue.pending {
                word::take_note(world, &pending.record).await;
            }
        }
        // What this node holds already comes first: it is in use for it.
        let in_use_for = |pending: &&Pending| queue.in_use_by.as_ref() == Some(pending.id());
        let mine = |pending: &&Pending| pending.work(&world.me) == Work::Resume;
        let left = || queue.pending.iter().filter(|pending| !tried.contains(pending.id()));
        let first = left().find(in_use_for).or_else(|| left().find(mine)).or_else(|| left().next());
        let Some(pending) = first else { break };
        tried.insert(pending.id().clone());
        let report = match pending.work(&world.me) {
            Work::Held(reason) => Report {
                incident: pending.id().clone(),
                result: Result::Held,
                text: format!("held: {reason}"),
                next: vec![format!("nova-ha incident show {}", pending.id())],
                plan: None,
            },
            Work::Claim if queue.in_use && !options.plan_only => {
                let (reason, next) = note::busy(world, queue.in_use_by.as_ref());
                let (reasons, next) = (vec![reason], vec![next]);
                note::write_if_unclaimed(world, pending.id(), &reasons, &next).await;
                would_wait(pending.id(), &reasons, next)
            }
            // One that is in use takes over nothing either: its `in_use` says for what it is kept.
            Work::Adopt(holder)
                if queue.in_use && queue.in_use_by.as_ref() != Some(pending.id()) && !options.plan_only =>
            {
                let (reason, next) = note::busy(world, queue.in_use_by.as_ref());
                if pending.locked_by.is_none() {
                    waiting(world, pending.id(), vec![reason], vec![next]).await
                } else {
                    Report {
                        incident: pending.id().clone(),
                        result: Result::Elsewhere,
                        text: format!("HA node {holder} has it ({reason})"),
                        next: vec![next],
                        plan: None,
                    }
                }
            }
            Work::Resume if unclear.contains_key(pending.id()) => match unclear.remove(pending.id()) {
                Some(stop) => stopped(world, options, pending.id(), stop).await,
                None => break,
            },
            work @ (Work::Claim | Work::Resume | Work::TakeUp | Work::Adopt(_)) => {
                match attempt(world, options, &queue, pending, work).await {
                    Ok(report) => report,
                    // Led on by a person, or adopted: what is to be done now, the next look says.
                    Err(Stop::Moved { what }) if moved < MOST_MOVES => {
                        tracing::info!(incident = %pending.id(), what, "looking at it anew");
                        moved += 1;
                        tried.remove(pending.id());
                        world.clock.sleep(PAUSE).await;
                        continue;
                    }
                    Err(stop) => stopped(world, options, pending.id(), stop).await,
                }
            }
        };
        tracing::info!(incident = %report.incident, result = ?report.result, "{}", report.text.lines().next().unwrap_or(""));
        reports.push(report);
    }
    reports.extend(unreadable.into_iter().map(|(incident, why)| Report {
        text: format!("unreadable, nobody works on it: {}", chain(&why)),
        plan: None,
        next: why.hint().into_iter().collect(),
        result: Result::Unreadable,
        incident,
    }));
    if !options.plan_only {
        // Housekeeping; whatever is wrong with it, the recovery above is what counts.
        match prune(world).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(removed, "ended incidents removed, as policy keep_closed_incidents says")
            }
            Err(error) => tracing::warn!(error = %chain(&error), "ended incidents cannot be removed"),
        }
    }
    Ok(reports)
}

/// That another machine has something by this name is everything's end. Of which incidents nobody can tell is their own
/// matter: why they wait.
async fn nothing_is_a_twins(
    world: &World,
    agent: &OwnName,
    queue: &Queue,
) -> std::result::Result<BTreeMap<IncidentId, Stop>, Stop> {
    let mut unclear = BTreeMap::new();
    for held in queue.pending.iter().filter(|pending| pending.record.holder.as_ref() == Some(&world.me)) {
        match twin::has(world, agent, &held.record).await {
            Ok(()) => {}
            Err(twin @ Stop::Twin { .. }) => return Err(twin),
            Err(stop) => {
                unclear.insert(held.id().clone(), stop);
            }
        }
    }
    Ok(unclear)
}

async fn waiting(world: &World, id: &IncidentId, reasons: Vec<String>, next: Vec<String>) -> Report {
    note::write(world, id, &reasons, &next).await;
    would_wait(id, &reasons, next)
}

fn would_wait(id: &IncidentId, reasons: &[String], next: Vec<String>) -> Report {
    Report {
        incident: id.clone(),
        result: Result::Waiting,
        text: format!("waiting: {}", reasons.join("; ")),
        next,
        plan: None,
    }
}

async fn stopped(world: &World, options: &Options, id: &IncidentId, stop: Stop) -> Report {
    let row = stop.row(id);
    match stop {
        Stop::HolderLives { lives } => {
            let (reason, next) = (lives.text(), lives.next());
            waiting(world, id, vec![reason], vec![next]).await
        }
        // A plan changes nothing, not even the note of why this node waits.
        Stop::Waiting { reasons, next } if options.plan_only => would_wait(id, &reasons, next),
        Stop::Waiting { reasons, next } => waiting(world, id, reasons, next).await,
        Stop::Held { reason, .. } => Report {
            incident: id.clone(),
            result: Result::Held,
            text: format!("held: {reason}"),
            next: row.next,
            plan: None,
        },
        Stop::Withdrawn { reason } => Report {
            incident: id.clone(),
            result: Result::Withdrawn,
            text: format!("withdrawn: {reason}"),
            next: row.next,
            plan: None,
        },
        other @ (Stop::Lease { .. }
        | Stop::Twin { .. }
        | Stop::Moved { .. }
        | Stop::Store { .. }
        | Stop::Tree { .. }
        | Stop::Journal { .. }) => Report {
            incident: id.clone(),
            result: Result::Interrupted,
            text: format!("interrupted: {}", chain(&other)),
            next: match row.severity {
                Severity::Fine => vec![format!("nova-ha incident show {id}; the next run resumes")],
                Severity::Warning | Severity::Critical => row.next,
            },
            plan: None,
        },
    }
}

/// A host that was put into maintenance between its marking and the claim is not claimed: flags
/// and this HA node would be taken for a wait. Nor by a person's order: none is taken for a host in
/// maintenance, so that it was set after the order.
fn not_in_maintenance(case: &Case) -> std::result::Result<(), Stop> {
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
) -> std::result::Result<(Box<dyn crate::nova::Cloud>, Armed, std::result::Result<Plan, Vec<Blocker>>), Stop>
{
    let cloud = facts::cloud(world, case)?;
    let armed = facts::arm(world, case).await;
    let facts = facts::gather(world, case, &armed, cloud.as_ref()).await?;
    let plan = plan(&facts);
    Ok((cloud, armed, plan))
}

async fn attempt(
    world: &World,
    options: &Options,
    queue: &Queue,
    pending: &Pending,
    work: Work,
) -> std::result::Result<Report, Stop> {
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
                    result: Result::Elsewhere,
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
    let mut case = facts::load(world, id).await?;
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
    let earlier = match &ground {
        Some(_) if !options.plan_only => Earlier::of(world, &history, pending.record.holder.as_ref()).await?,
        Some(_) | None => Earlier::default(),
    };
    history.same_strategy(id, &world.me, &case.storage.strategy)?;
    case.disks.clone_from(&history.disks);
    if work == Work::Claim {
        not_in_maintenance(&case)?;
    }
    let (cloud, armed, plan) = prepare(world, &case).await?;
    let plan = match plan {
        Ok(plan) => plan,
        Err(blockers) => {
            return Err(Stop::Waiting {
                reasons: blockers.iter().map(|b| b.reason.clone()).collect(),
                next: blockers.into_iter().map(|b| b.next).collect(),
            });
        }
    };
    if options.plan_only {
        return Ok(Report {
            incident: id.clone(),
            result: Result::Planned,
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
async fn asked_for(world: &World, id: &IncidentId) -> std::result::Result<Option<String>, Stop> {
    let mut case = facts::load(world, id).await?;
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
    cloud: &dyn crate::nova::Cloud,
    lease: &Lease<'_>,
    ground: Option<AdoptionGround>,
    earlier: Earlier,
) -> std::result::Result<Report, Stop> {
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
        match stop {
            Stop::HolderLives { lives } => return Err(Stop::HolderLives { lives }),
            Stop::Waiting { reasons, next } => {
                note::write(world, id, &reasons, &next).await;
                tracing::warn!(incident = %id, host = %id.host(), "waiting: {}", reasons.join("; "));
                if worked() >= patience {
                    claim::unlock(&context).await;
                    return Err(Stop::Waiting { reasons, next });
                }
                world.clock.sleep(PAUSE).await;
                // What a person said meanwhile counts at once: an order, a hold.
                if let Err(moved) = context.journal.confirm().await {
                    claim::unlock(&context).await;
                    return Err(moved);
                }
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

fn given_back(id: &IncidentId, to: &HaNodeName) -> Report {
    Report {
        incident: id.clone(),
        result: Result::Elsewhere,
        text: format!("given back to HA node {to}, which lives and asked for it"),
        next: Vec::new(),
        plan: None,
    }
}

fn elsewhere(id: &IncidentId, why: &[crate::store::Refusal]) -> Report {
    let why = why.first().map_or_else(|| "it moved".to_owned(), |r| format!("{}: {}", r.key, r.what));
    Report {
        incident: id.clone(),
        result: Result::Elsewhere,
        text: format!("not taken: {why}"),
        next: Vec::new(),
        plan: None,
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
) -> std::result::Result<Taken<'a>, Stop> {
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
async fn end(context: &mut Context<'_>, event: Event) -> std::result::Result<(), Stop> {
    let (record, term) = (context.journal.record().clone(), context.journal.term());
    let mut ops = claim::give_back(context.world, context.lease, context.case, &record, term).await?;
    ops.push(note::removed(&record.id));
    context.journal.append(event, ops).await
}

async fn close(context: &mut Context<'_>) -> std::result::Result<Report, Stop> {
    let lines = ledger::read(context).await?;
    let summary = Summary::of(lines.values().map(|line| &line.entry.state));
    end(context, Event::Closed { summary: summary.to_string() }).await?;
    let result = if summary.is_partial() { Result::Partial } else { Result::Closed };
    let next = vec![format!("nova-ha incident show {}", context.case.id)];
    Ok(Report {
        incident: context.case.id.clone(),
        result,
        text: format!("closed: {summary}"),
        next,
        plan: None,
    })
}
