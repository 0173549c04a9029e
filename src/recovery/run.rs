//! One execution of `nova-ha-recover`: until nothing is claimable.

use std::collections::{BTreeMap, BTreeSet};

use super::attempt::{PAUSE, attempt};
use super::carried::compare;
use super::heed::heed;
use super::note;
use super::options::Options;
use super::own_word;
use super::prune::prune;
use super::queue::{self, Pending, Queue, Work};
use super::report::{Report, Result as Ending, stopped, waiting, would_wait};
use super::retry;
use super::stop::Stop;
use super::takeovers;
use super::through;
use super::twin;
use super::word;
use super::world::{World, chain};
use crate::names::IncidentId;
use crate::tree::formats::published::{Stopped, Words, publish};
use crate::tree::namesake::OwnName;

/// How often one execution looks again because somebody else wrote an incident that it works on.
const MOST_MOVES: u32 = 8;

/// Incidents that one execution works on; above any storm limit.
const MOST_CASES: usize = 256;

/// For `nova-ha status`, which may be asked elsewhere: nothing is recovered here beside a tree that has forgotten what
/// this HA node took.
fn stopped_by(known: &Result<(), Stop>) -> Option<Stopped> {
    let Err(Stop::Waiting { reasons, next }) = known else { return None };
    Some(Stopped { why: reasons.join("; "), next: next.join("; ") })
}

/// Says to all that this HA node recovers nothing, and why, where it cannot even begin: else the site looks protected by it.
pub async fn cannot_begin(world: &World, why: String) {
    if let Err(stop) = twin::by_its_agent(world).await {
        tracing::warn!(error = %chain(&stop), "nobody is told why this HA node recovers nothing");
        return;
    }
    let next = format!("on {}, as root: mend that, then nova-ha-recover", world.me);
    let words = Words { stopped: Some(Stopped { why, next }), remarks: Vec::new() };
    if let Err(error) = publish(world.store.as_ref(), &world.me, &world.boot_id, words).await {
        tracing::warn!(error = %chain(&error), "nobody is told why this HA node recovers nothing");
    }
}

/// Works until nothing is claimable; a line per pending incident.
pub async fn run(world: &World, options: &Options) -> Result<Vec<Report>, Stop> {
    let agent = twin::by_its_agent(world).await?;
    let known = takeovers::are_known_to_the_tree(world).await;
    if !options.plan_only {
        // What it could not say now the next run says. Until then the others write for an older build.
        let words = Words { stopped: stopped_by(&known), remarks: own_word::remarks(world).await };
        match publish(world.store.as_ref(), &world.me, &world.boot_id, words).await {
            Ok(true) => tracing::info!(ha_node = %world.me, "published which formats it reads"),
            Ok(false) => {}
            Err(error) => {
                let next = error.hint().unwrap_or_default();
                tracing::warn!(error = %chain(&error), next, "cannot publish which formats this HA node reads");
            }
        }
        through::say(world, None).await;
    }
    known?;
    let mut reports: Vec<Report> = Vec::new();
    let mut tried: BTreeSet<IncidentId> = BTreeSet::new();
    let mut moved = 0;
    let mut unreadable = Vec::new();
    for _ in 0..MOST_CASES {
        let unheeded = if options.plan_only { Vec::new() } else { heed(world).await? };
        let mut queue = queue::look(world, options.only.as_ref()).await?;
        queue.pending.retain(|pending| pending.is_taken_up || options.plan_only);
        unreadable = std::mem::take(&mut queue.unreadable);
        // What cannot be understood is among them already.
        let is_new = |id: &IncidentId| !unreadable.iter().any(|(known, _)| known == id);
        let unheeded: Vec<_> = unheeded.into_iter().filter(|(id, _)| is_new(id)).collect();
        unreadable.extend(unheeded);
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
                result: Ending::Held,
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
                        result: Ending::Elsewhere,
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
        result: Ending::Unreadable,
        incident,
    }));
    if !options.plan_only {
        // What this run ended itself.
        through::say(world, None).await;
        // Housekeeping; whatever is wrong with it, the recovery above is what counts.
        match prune(world).await {
            Ok(0) => {}
            Ok(removed) => {
                tracing::info!(removed, "ended incidents removed, as policy keep_closed_incidents says")
            }
            Err(error) => tracing::warn!(error = %chain(&error), "ended incidents cannot be removed"),
        }
        // Whoever can be recovered comes first.
        if reports.is_empty() {
            match retry::by_itself(world).await {
                Ok(0) => {}
                Ok(opened) => tracing::info!(opened, "incidents opened again for guests that were held"),
                Err(error) => {
                    tracing::info!(error = %chain(&error), "held guests were not looked at, or not all");
                }
            }
        }
        match compare(world).await {
            Ok(0) => {}
            Ok(notes) => tracing::info!(notes, "noted where Nova says otherwise than a ledger"),
            Err(error) => tracing::info!(error = %chain(&error), "guests on HA nodes are not compared"),
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
) -> Result<BTreeMap<IncidentId, Stop>, Stop> {
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
